package ProxyWasm::EndingClient;

# Tells what a client sees of a request that ends early, and of the next request on the same
# connection: over HTTP/1.1, kept or pipelined, over HTTP/1.0, and over HTTP/2.
#
#     my $client = ProxyWasm::EndingClient->ask(kept => $server, 'GET', '/path');
#     $client->sees;     # 504, a status; 'none', no answer; 'cut', part of one; 'whole', one of 200
#     $client->next;     # 'next', its answer; 'closed'; or what else came

use strict;
use warnings;
use ProxyWasm::Http2;

my %ask = (
    kept      => sub { $_[0]{connection}->send_request(@_[1, 2], $_[3]->@*) },
    pipelined => sub {
        $_[0]{connection}->send_request(@_[1, 2], $_[3]->@*);
        $_[0]{connection}->send_request('GET', '/next');
    },
    old => sub {
        my ($self, $method, $path, $body) = @_;
        my %o = @$body;
        push @{ $self->{connection}{methods} }, $method;
        $self->{connection}->send_bytes("$method $path HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n"
            . (%o ? "Content-Length: 4\r\n\r\n$o{body}" : "\r\n"));
    },
    h2 => sub { $_[0]{connection}->send_request(@_[1, 2], $_[3][1]) },
);

sub ask {
    my ($class, $protocol, $server, $method, $path) = @_;
    my $self = bless { protocol => $protocol }, $class;
    my @body = $method eq 'POST' ? (body => 'body') : ();
    $self->{connection} = $protocol eq 'h2' ? ProxyWasm::Http2->new(port => $server->{h2_port}) : $server->connect(timeout => 20);
    $ask{$protocol}->($self, $method, $path, \@body);
    return $self;
}

sub sees {
    my ($self) = @_;
    if ($self->{protocol} eq 'h2') {
        my $r = eval { $self->{connection}->read_response };
        return "died: $@" if $@;
        return !$r->{ended} ? ($r->{status} ? 'cut' : 'none') : $r->{status} == 200 ? 'whole' : $r->{status};
    }
    my $response = eval { $self->{connection}->read_response };
    # What was not read yet of a pipeline makes a close a reset.
    return length $self->{connection}{in} ? 'cut' : 'none' if $@ =~ /reset by peer/;
    return $@ =~ /closed within/ ? 'cut' : "died: $@" if $@;
    return 'none' if !$response;
    $self->{complete} = 1;
    my $status = $response->{status};
    return $status if $status != 200;
    # Over HTTP/1.0 the end of the connection is that of the body.
    return $self->{protocol} eq 'old' && $response->{body} !~ /whole$/ ? 'cut' : 'whole';
}

sub next {
    my ($self) = @_;
    if ($self->{protocol} eq 'h2') {
        my $r = eval { $self->{connection}->request('GET', '/next') };
        return "died: $@" if $@;
        return $r->{ended} && $r->{status} == 200 && $r->{body} eq 'next' ? 'next' : "status " . ($r->{status} // 'none');
    }
    my $c = $self->{connection};
    return length $c->{in} ? "more: $c->{in}" : $self->_is_closed if !$self->{complete};
    my $response = eval {
        $c->send_request('GET', '/next') if $self->{protocol} ne 'pipelined';
        $c->read_response;
    };
    return $@ =~ /write:|reset by peer/ ? 'closed' : "died: $@" if $@;
    return 'closed' if !$response;
    return $response->{status} == 200 && $response->{body} eq 'next' ? 'next' : "status $response->{status}";
}

# Leaves, or says no more.
sub leave { $_[0]{connection}->close }
sub half_close { shutdown $_[0]{connection}{sock}, 1 }

sub _is_closed {
    my ($self) = @_;
    my $closed = eval { $self->{connection}->closed };
    return $closed || $@ =~ /reset by peer/ ? 'closed' : 'still open' . ($@ && ": $@");
}

1;
