package Runner::Curl;

# Sends the requests of a block with --- http2. curl sends them, because it speaks HTTP/2 without
# TLS, and its -i output is read like any other response.

use strict;
use warnings;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(curl);

# Returns (output, error text).
sub curl {
    my ($bytes) = @_;
    require IPC::Run;
    my ($out, $err) = ('', '');
    IPC::Run::run([_command($bytes)], \undef, \$out, \$err);
    return ($out, length $out ? $err : $err || 'curl wrote nothing');
}

sub _command {
    my ($bytes) = @_;
    my ($line, $headers, $body) = $bytes =~ /\A\s*(.*?)\r?\n(.*?)\r?\n\r?\n(.*)\z/s
        or die "curl: cannot read the request\n";
    my ($method, $uri) = $line =~ m{^(\S+) (\S+) HTTP/1\.1$}
        or die "curl: cannot read the request line: $line\n";

    # Test::Nginx sends no header that a block does not name.
    my @command = (qw(curl -isS --http2-prior-knowledge), map { ('-H', "$_:") } qw(User-Agent Accept Host));
    push @command, $method eq 'HEAD' ? '-I' : ('-X', $method);

    my @headers = grep { !/^Connection\s*:/i } split /\r\n/, $headers;
    # curl would add a type of its own to a body.
    push @command, '-H', 'Content-Type:' if length $body && !grep { /^Content-Type\s*:/i } @headers;
    push @command, map { ('-H', $_) } @headers;

    if (length $body) {
        my $file = ProxyWasm::Settings::html_dir() . '/curl.data.bin';
        open my $out, '>', $file or die "$file: $!\n";
        binmode $out;
        print {$out} $body;
        close $out;
        push @command, '--data-binary', "\@$file";
    }
    my $timeout = $ProxyWasm::Settings::Timeout;
    return @command, '--connect-timeout', $timeout, '--max-time', $timeout,
        "http://127.0.0.1:$ProxyWasm::Settings::ServerPort$uri";
}

1;
