package ProxyWasm::Request;

# From the sections of a block to the bytes to send: request, more_headers,
# pipelined_requests, raw_request. A request is a list of packets, each
# {value => bytes, delay_before => seconds}.

use strict;
use warnings;
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(requests_of);

# A list with one list of packets for each thing to be sent on a connection of its own.
sub requests_of {
    my ($block) = @_;

    my $raw = $block->raw_request;
    return [map { +{ value => $_ } } ref $raw eq 'ARRAY' ? @$raw : $raw] if defined $raw;

    my $more = $block->more_headers || '';
    if (my $list = $block->pipelined_requests) {
        die "pipelined_requests: a list expected (use eval)\n" if ref $list ne 'ARRAY';
        my @bytes = map {
            my ($packet) = _build([$list->[$_]], _headers($more, $_),
                $_ == $#$list ? 'close' : 'keep-alive');
            $packet->{value};
        } 0 .. $#$list;
        return [{ value => join '', @bytes }];
    }

    my $request = defined $block->request_eval ? eval $block->request_eval : $block->request;
    die $@ if $@;
    die "no --- request\n" if !defined $request;

    if (!ref $request) {
        1 while $request =~ s/^\s*\#[^\n]+\s+|^\s+//g;    # comments above the request line
        $request = [$request];
    }
    die "request: text or a list expected\n" if ref $request ne 'ARRAY';

    return map {
        my $one = $request->[$_];
        [_build(ref $one ? $one : [$one], _headers($more, $_), 'close')];
    } 0 .. $#$request;
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
        next if $line =~ /^\s*\#/;
        my ($key, $value) = split /:\s*/, $line, 2;
        $value //= '';
        $chunked = 1 if lc $key eq 'transfer-encoding' && $value eq 'chunked';
        $out .= "$key: $value\r\n";
    }
    return [$out, $chunked];
}

# Completes a request (version, Host, Connection, Content-Length) and cuts the result
# where the packets were cut. Each segment is [length as written, text as sent].
sub _build {
    my ($packets, $headers, $connection) = @_;
    my @packets = map { ref $_ ? {%$_} : { value => $_ } } @$packets;
    my $written = join '', map { $_->{value} } @packets;

    $written =~ /\A(\s*)(\S+)( *)(?:(\S+)( *))?(?:(\S+)( *))?(\s*?(?:\n|\z))(.*)\z/s
        or die qq{request line "METHOD [URL [VERSION]]" expected, not "$written"\n};
    my ($before, $method, $gap, $url, $gap2, $version, $gap3, $eol, $body)
        = ($1, $2, $3, $4 // '', $5 // '', $6 // '', $7 // '', $8, $9);

    my ($more, $chunked) = @$headers;
    my $sent_body = $body;
    my $length    = '';
    if (length $body && !$chunked && $more !~ /^Content-Length:/m) {
        $sent_body =~ s/^\s+|\s+$//g;
        $length = 'Content-Length: ' . length($sent_body) . "\r\n";
    }

    my $head = '';
    $head .= "Host: $ProxyWasm::Settings::ServerName\r\n" if $more !~ /^Host:/mi;
    $head .= "Connection: $connection\r\n"                if $more !~ /^Connection/mi;
    $head .= "$more$length\r\n";

    my @segments = (
        [length $before, ''],
        [length $method, "$method "],
        [length $gap, ''],
        [length $url, (length $url ? $url : '/') . ' '],
        [length $gap2, ''],
        [length $version, (length $version ? $version : 'HTTP/1.1') . "\r\n"],
        [length($gap3) + length($eol), ''],
        [0, $head],
        [length $body, $sent_body],
    );

    my ($written_to, $sent_to) = (0, 0);
    my $bytes = join '', map { $_->[1] } @segments;
    for my $packet (@packets) {
        $written_to += length $packet->{value};
        my $cut = $packet == $packets[-1] ? length $bytes : _cut(\@segments, $written_to);
        $packet->{value} = substr $bytes, $sent_to, $cut - $sent_to;
        $sent_to = $cut;
    }
    return @packets;
}

# Where position $at of the written request is in the bytes to send.
sub _cut {
    my ($segments, $at) = @_;
    my $sent = 0;
    for my $segment (@$segments) {
        my ($length, $text) = @$segment;
        if ($at < $length) {
            return $sent + ($at < length $text ? $at : length $text);
        }
        $at -= $length;
        $sent += length $text;
    }
    return $sent;
}

1;
