package ProxyWasm::Response;

# Turns the bytes of a server into HTTP::Response objects, for the checks of a block. It reads as
# Test::Nginx does: it takes one response, as far as its framing says, and hands the rest back; a
# 1xx counts as the response.

use strict;
use warnings;
use HTTP::Response;

use Exporter 'import';
our @EXPORT_OK = qw(parse_response decode_chunked);

# Returns (response, raw headers, rest). Dies when chunked framing is broken; a
# body shorter than Content-Length is only warned of through $warn.
sub parse_response {
    my ($bytes, $head_request, $warn) = @_;
    my ($raw_headers) = $bytes =~ /\A(.*?\r\n)\r\n/s;
    $raw_headers //= '';

    my $res = HTTP::Response->parse($bytes);
    $res->code(undef) if defined $res->code && $res->code !~ /^\d+$/;
    return ($res, $raw_headers) if ($res->code // '') =~ /^(?:101|304)$/;

    my $encoding = $res->header('Transfer-Encoding') // '';
    my $length   = $res->header('Content-Length')    // '';
    my $body     = $res->content                     // '';

    if ($encoding eq 'chunked') {
        return ($res, $raw_headers, length $body ? $body : undef) if $head_request;
        my ($decoded, $rest) = decode_chunked($body);
        $res->content($decoded);
        return ($res, $raw_headers, length $rest ? $rest : undef);
    }
    if ($length =~ /^\d+$/ && !$head_request) {
        if (length $body < $length) {
            $warn->("response body truncated: $length bytes announced, " . length($body) . " came");
        }
        elsif (length $body > $length) {
            $res->content(substr $body, 0, $length);
            return ($res, $raw_headers, substr $body, $length);
        }
    }
    return ($res, $raw_headers);
}

# Returns (decoded, what follows the last chunk, trailer lines).
sub decode_chunked {
    my ($raw) = @_;
    my $decoded = '';
    while (1) {
        $raw =~ /\G[ \t]*([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?\r\n/gc
            or die +(pos($raw) // 0) == length $raw
                ? "no last chunk found in the response\n"
                : "invalid chunked body: " . substr($raw, pos($raw) // 0, 80) . "\n";
        my $size = hex $1;
        my $at   = pos $raw;
        if ($size == 0) {
            $raw =~ /\G((?:[^\r\n]+\r\n)*)\r\n/gc
                or die "invalid chunked body: last chunk without its end\n";
            return ($decoded, substr($raw, pos $raw), $1);
        }
        die "invalid chunked body: not enough bytes for a chunk of $size\n"
            if length($raw) < $at + $size + 2;
        $decoded .= substr $raw, $at, $size;
        die "invalid chunked body: CRLF expected after a chunk\n"
            if substr($raw, $at + $size, 2) ne "\r\n";
        pos($raw) = $at + $size + 2;
    }
}

1;
