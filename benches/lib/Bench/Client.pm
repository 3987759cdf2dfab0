package Bench::Client;

# One connection that sends the same request again and again, byte for byte. The client's own cost
# does not matter: only the server's instructions are counted.

use strict;
use warnings;
use ProxyWasm::Connection;

# What a browser sends at least. With these `return 200` costs what it cost when the budgets were set.
use constant HEADERS => (
    'Host' => 'localhost', 'User-Agent' => 'bench', 'Accept' => '*/*', 'Accept-Encoding' => 'gzip', 'Cookie' => 'a=b',
);

# Options: path, headers (before those of every request), fields (in place of those), method, body, status (what is expected).
sub new {
    my ($class, $port, %o) = @_;
    return bless {
        connection => ProxyWasm::Connection->new(port => $port, timeout => 600),
        method     => $o{method} // 'GET',
        path       => $o{path} // '/t',
        options    => { headers => [@{ $o{headers} // [] }, @{ $o{fields} // [HEADERS] }], defined $o{body} ? (body => $o{body}) : () },
        status     => $o{status} // 200,
    }, $class;
}

# Asks so many times, and answers the last response.
sub ask {
    my ($self, $times) = @_;
    my $response;
    for (1 .. $times) {
        $response = $self->{connection}->request($self->{method}, $self->{path}, %{ $self->{options} });
        my $status = $response ? $response->{status} : 'nothing';
        die "$self->{path} answers $status, not $self->{status}\n" if $status ne $self->{status};
    }
    return $response;
}

# Sends a request and leaves it at that.
sub leave_open {
    my ($self) = @_;
    $self->{connection}->send_request($self->{method}, $self->{path}, %{ $self->{options} });
}

# Asks once, and reads a response of that many bytes without keeping it.
sub download {
    my ($self, $size) = @_;
    $self->leave_open;
    my $socket = $self->{connection}{sock};
    my $head   = '';
    sysread $socket, $head, 1, length $head or die "no response\n" while $head !~ /\r\n\r\n\z/;
    my ($status) = $head =~ m{^HTTP/1\.1 (\d+)};
    die "$self->{path} answers $status\n" if $status != $self->{status} || $head !~ /^Content-Length: $size\r$/im;
    while ($size > 0) {
        my $got = sysread $socket, my $piece, $size < 1 << 18 ? $size : 1 << 18;
        $size -= $got || die "the response ends $size bytes early\n";
    }
}

1;
