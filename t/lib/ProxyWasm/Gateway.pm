package ProxyWasm::Gateway;

# A server for FastCGI, SCGI and uwsgi, which it tells apart by the first byte of a request. It
# answers with the request's parameters, sorted, one per line, then an empty line and the request's
# body.

use strict;
use warnings;
use IO::Socket::INET;

# The port that it listens on, until the suite ends.
sub start {
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) or die "listen: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM __DIE__);
        serve($listener);
        exit;
    }
    return bless { port => $listener->sockport, pid => $pid, owner => $$ }, shift;
}

sub port { $_[0]{port} }

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local $?;
    kill TERM => $self->{pid};
    waitpid $self->{pid}, 0;
}

sub serve {
    my ($listener) = @_;
    while (my $client = $listener->accept) {
        eval {
            my $first = take($client, 1);
            my $answer = $first eq "\1" ? fastcgi($client, $first) : $first eq "\0" ? uwsgi($client) : scgi($client, $first);
            print {$client} $answer;
            $client->flush;
        };
        close $client;
    }
}

sub take {
    my ($client, $size) = @_;
    my $bytes = '';
    while (length $bytes < $size) {
        read $client, $bytes, $size - length $bytes, length $bytes or die "closed\n";
    }
    return $bytes;
}

sub shown {
    my ($body, %params) = @_;
    my $shown = join '', map { "$_: $params{$_}\n" } sort keys %params;
    return "Status: 200\r\nContent-Type: text/plain\r\n\r\n$shown" . (length $body && "\n$body");
}

# As long as CONTENT_LENGTH says, and what comes behind it.
sub body {
    my ($client, %params) = @_;
    my $body = take($client, $params{CONTENT_LENGTH} || 0);
    $client->blocking(0);
    my $more = '';
    $body .= "[and more: $more]" if read $client, $more, 100;
    $client->blocking(1);
    return $body;
}

sub scgi {
    my ($client, $size) = @_;
    while ((my $digit = take($client, 1)) ne ':') { $size .= $digit }
    my %params = take($client, $size + 1) =~ /([^\0]*)\0([^\0]*)\0/g;
    return shown(body($client, %params), %params);
}

sub uwsgi {
    my ($client) = @_;
    my $rest = take($client, unpack 'v', take($client, 3));
    my %params;
    while (length $rest) {
        (my $name, my $value, $rest) = unpack 'v/a v/a a*', $rest;
        $params{$name} = $value;
    }
    return shown(body($client, %params), %params);
}

sub fastcgi {
    my ($client, $first) = @_;
    my ($params, $body, $id) = ('', '');
    for (my $head = $first . take($client, 7);; $head = take($client, 8)) {
        (undef, my $type, $id, my $length, my $padding) = unpack 'CCnnC', $head;
        my $content = $length ? take($client, $length) : '';
        take($client, $padding) if $padding;
        $params .= $content if $type == 4;
        $body .= $content if $type == 5;
        last if $type == 5 && !$length;
    }
    my %params;
    while (length $params) {
        my ($name, $value) = (size(\$params), size(\$params));
        ($name, $value) = (substr($params, 0, $name, ''), substr($params, 0, $value, ''));
        $params{$name} = $value;
    }
    my @answer = unpack '(a65535)*', shown($body, %params);
    return join '', map { pack('CCnnCx', 1, $_->[0], $id, length $_->[1], 0) . $_->[1] }
        (map { [6, $_] } @answer), [6, ''], [3, "\0" x 8];
}

sub size {
    my ($bytes) = @_;
    return ord substr $$bytes, 0, 1, '' if ord $$bytes < 128;
    return (unpack 'N', substr $$bytes, 0, 4, '') & 0x7fffffff;
}

1;
