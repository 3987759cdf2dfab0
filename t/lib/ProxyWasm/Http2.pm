package ProxyWasm::Http2;

# One HTTP/2 connection without TLS, for tests of how streams end, which curl does not show. It has
# one request at a time; of a response's header it reads only the status.
#
#     my $c = ProxyWasm::Http2->new(port => 1984);
#     my $r = $c->request('GET', '/');    # {status, body, ended, reset => error code}
#
# A client can also refuse to take anything: allow a stream no bytes, read nothing, send a body in
# parts, reset a stream.

use strict;
use warnings;
use IO::Select;
use Time::HiRes qw(time);
use ProxyWasm::Client qw(connect_to);
use ProxyWasm::Settings ();

use constant { DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6, GOAWAY => 7, WINDOW_UPDATE => 8 };
use constant { END_STREAM => 1, ACK => 1, END_HEADERS => 4, CANCEL => 8 };

# HPACK's table of static fields, where nginx uses it for a status.
my %status = (0x88 => 200, 0x89 => 204, 0x8a => 206, 0x8b => 304, 0x8c => 400, 0x8d => 404, 0x8e => 500);

sub new {
    my ($class, %o) = @_;
    my $timeout = ($o{timeout} || 20) * $ProxyWasm::Settings::Patience;
    my $self = bless { sock => connect_to('127.0.0.1', $o{port}, $timeout), timeout => $timeout, in => '', last => -1 }, $class;
    $self->{sock}->syswrite("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    # Windows that no test fills, and frames of any length.
    $self->_frame(SETTINGS, 0, 0, pack 'nNnN', 4, 0x7fffffff, 5, 0xffffff);
    $self->_frame(WINDOW_UPDATE, 0, 0, pack 'N', 0x7fff0000);
    return $self;
}

sub request {
    my ($self, @args) = @_;
    $self->send_request(@args);
    return $self->read_response;
}

sub send_request {
    my ($self, $method, $path, $body, %o) = @_;
    $self->{last} += 2;
    # :method, :scheme http, :path, :authority, as literals that name an entry of the table.
    my $block = join '', map { ref $_ ? chr($_->[0]) . chr(length $_->[1]) . $_->[1] : chr $_ }
        [2, $method], 0x86, [4, $path], [1, 'localhost'];
    # Further fields, as literals with names of their own.
    my @headers = @{ $o{headers} // [] };
    $block .= "\0" . join '', map { chr(length $_) . $_ } splice @headers, 0, 2 while @headers;
    $self->_frame(HEADERS, END_HEADERS | (defined $body ? 0 : END_STREAM), $self->{last}, $block);
    $self->send_data($body, !$o{unfinished}) if defined $body;
}

# Another part of the last request's body, whose end has not been sent.
sub send_data {
    my ($self, $data, $is_last) = @_;
    $self->_frame(DATA, $is_last ? END_STREAM : 0, $self->{last}, $data);
}

# Of each response that comes from now on, the client takes only so many bytes of a body.
sub set_window {
    my ($self, $size) = @_;
    $self->_frame(SETTINGS, 0, 0, pack 'nN', 4, $size);
}

# The client wants no more of a stream's response.
sub reset_stream {
    my ($self, $stream) = @_;
    $self->_frame(RST_STREAM, 0, $stream // $self->{last}, pack 'N', CANCEL);
}

# What comes on a stream, the last request's by default, until it ends, is reset, or the connection
# closes.
sub read_response {
    my ($self, $of) = @_;
    $of //= $self->{last};
    my $response = { body => '' };
    while (my ($type, $flags, $stream, $payload) = $self->_read_frame) {
        $self->_frame($type, ACK, 0, $type == PING ? $payload : '') if ($type == SETTINGS || $type == PING) && !($flags & ACK);
        next if $stream != $of;
        $response->{status} //= _status($payload) if $type == HEADERS;
        $response->{body} .= $payload if $type == DATA;
        return { %$response, reset => unpack 'N', $payload } if $type == RST_STREAM;
        return { %$response, ended => 1 } if ($type == HEADERS || $type == DATA) && $flags & END_STREAM;
    }
    return $response;
}

# The next part of a response's body; nothing if the stream ends before, or is reset.
sub read_data {
    my ($self) = @_;
    while (my ($type, $flags, $stream, $payload) = $self->_read_frame) {
        $self->_frame($type, ACK, 0, $type == PING ? $payload : '') if ($type == SETTINGS || $type == PING) && !($flags & ACK);
        next if $stream != $self->{last};
        return $payload if $type == DATA && length $payload;
        return if $type == RST_STREAM || $flags & END_STREAM && ($type == HEADERS || $type == DATA);
    }
    return;
}

sub close { CORE::close($_[0]{sock}) }

sub _status {
    my ($block) = @_;
    # An update of the table's size may come first.
    $block =~ s/\A[\x20-\x3f][\x80-\xff]*[\x00-\x7f]?//;
    my $first = ord $block;
    return $status{$first} // ($block =~ /\A\x48\x03(\d{3})/ ? $1 : die sprintf "a status that begins with %02x\n", $first);
}

sub _frame {
    my ($self, $type, $flags, $stream, $payload) = @_;
    local $SIG{PIPE} = 'IGNORE';
    $self->{sock}->syswrite(substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload);
}

sub _read_frame {
    my ($self) = @_;
    my $head = $self->_bytes(9) // return;
    my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $head;
    my $payload = $self->_bytes($high << 16 | $low) // return;
    return ($type, $flags, $stream & 0x7fffffff, $payload);
}

# Nothing if the connection closes before.
sub _bytes {
    my ($self, $n) = @_;
    my $deadline = time + $self->{timeout};
    while (length $self->{in} < $n) {
        my $ready = IO::Select->new($self->{sock})->can_read($deadline - time);
        die "no answer within $self->{timeout} s\n" if !$ready && time >= $deadline;
        next if !$ready;
        my $got = sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
        return if !$got && !$!{EINTR};
    }
    return substr $self->{in}, 0, $n, '';
}

1;
