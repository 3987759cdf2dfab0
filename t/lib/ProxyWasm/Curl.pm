package ProxyWasm::Curl;

# HTTP/2 for a block that says --- http2: the request is handed to curl, which
# speaks HTTP/2 without TLS, and its -i output is read as any other response.

use strict;
use warnings;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(wants_http2 curl_command curl);

sub wants_http2 {
    my ($block) = @_;
    my $raw = defined $block->raw_request || defined $block->pipelined_requests;
    if (defined $block->http2) {
        die "http2 cannot go with raw_request or pipelined_requests\n" if $raw;
        return 1;
    }
    my $request = $block->request;
    return $ProxyWasm::Settings::UseHttp2 && !$raw && defined $request
        && (ref $request || $request !~ m{HTTP/1\.0});
}

sub curl_command {
    my ($block, $packets) = @_;
    my $bytes = join '', map { $_->{value} } @$packets;
    my ($line, $headers, $body) = $bytes =~ /\A\s*(.*?)\r?\n(.*?)\r?\n\r?\n(.*)\z/s
        or die "curl: cannot read the request\n";
    my ($method, $uri, $version) = $line =~ m{^(\S+) (\S+) HTTP/(\S+)$}
        or die "curl: cannot read the request line: $line\n";

    # Test::Nginx sends no header that a block does not name.
    my @cmd = ('curl', '-isS', map { ('-H', "$_:") } qw(User-Agent Accept Host));
    push @cmd, '--http2-prior-knowledge' if wants_http2($block);
    push @cmd, $method eq 'HEAD' ? '-I' : ('-X', $method);
    push @cmd, '-0' if $version ne '1.1';

    my @headers = grep { !/^Connection\s*:/i } split /\r\n/, $headers;
    # curl would add a type of its own to a body.
    push @cmd, '-H', 'Content-Type:' if length $body && !grep { /^Content-Type\s*:/i } @headers;
    push @cmd, map { ('-H', $_) } @headers;

    if (length $body) {
        my $file = ProxyWasm::Settings::html_dir() . '/curl.data.bin';
        open my $out, '>', $file or die "$file: $!\n";
        binmode $out;
        print {$out} $body;
        close $out;
        push @cmd, '--data-binary', "\@$file";
    }

    my $timeout = $block->timeout || $ProxyWasm::Settings::Timeout;
    $timeout =~ s/(?<=\d)s$//;
    $timeout = $1 / 1000 if $timeout =~ /^(\d+)ms$/;
    push @cmd, '--connect-timeout', $timeout, '--max-time', $timeout;
    push @cmd, $block->curl_options if defined $block->curl_options;

    my $scheme  = $block->curl_protocol          // 'http';
    my $address = $block->server_addr_for_client // $ProxyWasm::Settings::ServerAddr;
    return @cmd, "$scheme://$address:$ProxyWasm::Settings::ClientPort$uri";
}

# Returns (output, error text); no output and no error text when curl_error asked
# for the error that came.
sub curl {
    my ($block, $packets) = @_;
    require IPC::Run;
    my @cmd = curl_command($block, $packets);
    my ($out, $err) = ('', '');
    IPC::Run::run(\@cmd, \undef, \$out, \$err);
    return ($out, $err) if length $out;

    my $expected = $block->curl_error;
    if (defined $expected && length $err) {
        return ('', '') if ref $expected ? $err =~ /$expected/ : $err =~ /\Q$expected\E/;
    }
    return ('', $err || 'curl wrote nothing');
}

1;
