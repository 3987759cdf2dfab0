package Runner::Request;

# Turns the sections request, more_headers, pipelined_requests and raw_request of a block into the
# bytes to send. A request is a list of packets.

use strict;
use warnings;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(requests_of);

# A list with one list of packets for each thing to be sent on a connection of its own.
sub requests_of {
    my ($block) = @_;

    my $raw = $block->raw_request;
    return [ref $raw eq 'ARRAY' ? @$raw : $raw] if defined $raw;

    my $more = $block->more_headers || '';
    if (my $list = $block->pipelined_requests) {
        die "pipelined_requests: a list expected (use eval)\n" if ref $list ne 'ARRAY';
        return [join '', map {
            _build($list->[$_], _headers($more, $_), $_ == $#$list ? 'close' : 'keep-alive')
        } 0 .. $#$list];
    }

    my $request = $block->request // die "no --- request\n";
    my @texts   = ref $request eq 'ARRAY' ? @$request : $request =~ s/^\s+//r;
    die "request: a list of texts expected\n" if grep { ref } @texts;
    return map { [_build($texts[$_], _headers($more, $_), 'close')] } 0 .. $#texts;
}

# The lines of more_headers for request number $i, and whether they say chunked.
sub _headers {
    my ($more, $i) = @_;
    if (ref $more eq 'ARRAY') {
        $more = $more->[$i];
        die "more_headers has no entry for request $i\n" if !defined $more;
    }
    my ($out, $chunked) = ('', 0);
    for my $line (split /\n+/, $more) {
        next if $line =~ /^\s*#/;
        my ($key, $value) = split /:\s*/, $line, 2;
        $value //= '';
        $chunked = 1 if lc $key eq 'transfer-encoding' && $value eq 'chunked';
        $out .= "$key: $value\r\n";
    }
    return [$out, $chunked];
}

# Completes a request: version, Host, Connection, Content-Length.
sub _build {
    my ($text, $headers, $connection) = @_;
    my ($line, $body) = $text =~ /\A\s*([^\n]*\S)\s*?(?:\n(.*))?\z/s
        or die qq{request line "METHOD [URL [VERSION]]" expected, not "$text"\n};
    my ($method, $url, $version, @rest) = split / +/, $line;
    die qq{request line "METHOD [URL [VERSION]]" expected, not "$line"\n} if @rest;

    my ($more, $chunked) = @$headers;
    $body //= '';
    my $length = '';
    if (length $body && !$chunked && $more !~ /^Content-Length:/m) {
        $body =~ s/^\s+|\s+$//g;
        $length = 'Content-Length: ' . length($body) . "\r\n";
    }

    my $head = join(' ', $method, $url // '/', $version // 'HTTP/1.1') . "\r\n";
    $head .= "Host: $ProxyWasm::Settings::ServerName\r\n" if $more !~ /^Host:/mi;
    $head .= "Connection: $connection\r\n"                if $more !~ /^Connection/mi;
    return "$head$more$length\r\n$body";
}

1;
