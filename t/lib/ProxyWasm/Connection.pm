package ProxyWasm::Connection;

# One HTTP/1.1 connection of a ProxyWasm::Server. It sends requests and reads responses one after
# another, each as far as its framing says (1xx, HEAD, chunked with trailers, Content-Length, until
# close). Blocks do not use it: they read raw bytes.

use strict;
use warnings;
use Errno ();
use IO::Select;
use Time::HiRes qw(time);
use ProxyWasm::Client qw(connect_to);
use ProxyWasm::Settings ();

sub new {
    my ($class, %o) = @_;
    my $timeout = ($o{timeout} || 30) * $ProxyWasm::Settings::Patience;
    return bless {
        sock => connect_to('127.0.0.1', $o{port}, $timeout), timeout => $timeout,
        in => '', methods => [],
    }, $class;
}

sub request {
    my ($self, @args) = @_;
    $self->send_request(@args);
    return $self->read_response;
}

# headers: a list of name, value. Host is added, and Content-Length for a body.
sub send_request {
    my ($self, $method, $path, %o) = @_;
    my @headers = @{ $o{headers} || [] };
    my $head = "$method $path HTTP/1.1\r\n";
    my %given;
    while (my ($name, $value) = splice @headers, 0, 2) {
        $given{ lc $name } = 1;
        $head .= "$name: $value\r\n";
    }
    my $body = $o{body} // '';
    $head .= "Host: localhost\r\n"   if !$given{host};
    $head .= "Connection: close\r\n" if $o{close} && !$given{connection};
    $head .= 'Content-Length: ' . length($body) . "\r\n"
        if defined $o{body} && !$given{'content-length'} && !$given{'transfer-encoding'};
    push @{ $self->{methods} }, $method;
    $self->send_bytes("$head\r\n$body");
}

sub send_bytes {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $put = syswrite $self->{sock}, $bytes;
        next if !defined $put && $!{EINTR};
        die "write: $!\n" if !defined $put;
        substr $bytes, 0, $put, '';
    }
}

# {status, reason, version, headers, header_list, body, trailers, informational}
# headers: lowercased name => values joined by ", ". Nothing if the connection was
# closed before a response.
sub read_response {
    my ($self) = @_;
    my $method = shift @{ $self->{methods} } // 'GET';
    my @informational;
    while (1) {
        my $res = $self->_head or return;
        if ($res->{status} =~ /^1/ && $res->{status} != 101) {
            push @informational, $res;
            next;
        }
        $res->{informational} = \@informational;
        $self->_body($res, $method);
        return $res;
    }
}

sub close { CORE::close($_[0]{sock}) }

# True when the server has closed and nothing is left to read.
sub closed {
    my ($self) = @_;
    return !length $self->{in} && !$self->_more;
}

sub _head {
    my ($self) = @_;
    while ($self->{in} !~ /\r?\n\r?\n/) {
        next if $self->_more;
        return if !length $self->{in};
        die "connection closed within the response head: $self->{in}\n";
    }
    $self->{in} =~ s/\A(.*?)\r?\n\r?\n//s;
    my ($line, @lines) = split /\r?\n/, $1;
    my ($version, $status, $reason) = $line =~ m{^(HTTP/\S+) (\d{3})(?: (.*))?$}
        or die "not a status line: $line\n";
    my $list = _fields(@lines);
    return {
        version => $version, status => $status, reason => $reason // '',
        header_list => $list, headers => _join($list), body => '', trailers => {},
    };
}

sub _body {
    my ($self, $res, $method) = @_;
    return if $method eq 'HEAD' || $res->{status} =~ /^(?:101|204|304)$/;
    if (($res->{headers}{'transfer-encoding'} // '') =~ /chunked\s*$/i) {
        while (1) {
            my ($size) = $self->_line =~ /^\s*([0-9A-Fa-f]+)/ or die "bad chunk size\n";
            $size = hex $size or last;
            $res->{body} .= $self->_bytes($size);
            $self->_bytes(2);
        }
        my @trailers;
        while (length(my $line = $self->_line)) { push @trailers, $line }
        $res->{trailers} = _join(_fields(@trailers));
    }
    elsif (defined(my $length = $res->{headers}{'content-length'})) {
        $res->{body} = $self->_bytes($length);
    }
    else {
        1 while $self->_more;
        $res->{body} = $self->{in};
        $self->{in} = '';
    }
}

sub _line {
    my ($self) = @_;
    while ($self->{in} !~ /\n/) {
        $self->_more or die "connection closed within the response\n";
    }
    $self->{in} =~ s/\A(.*?)\r?\n//;
    return $1;
}

sub _bytes {
    my ($self, $n) = @_;
    while (length $self->{in} < $n) {
        $self->_more or die "connection closed within the response body\n";
    }
    return substr $self->{in}, 0, $n, '';
}

# More input; false at the end. Dies when nothing comes in time.
sub _more {
    my ($self) = @_;
    my $deadline = time + $self->{timeout};
    while (1) {
        my $ready = IO::Select->new($self->{sock})->can_read($deadline - time);
        die "no answer within $self->{timeout} s\n" if !$ready && time >= $deadline;
        next if !$ready;    # a signal came
        my $got = sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
        return $got if defined $got;
        die "read: $!\n" if !$!{EINTR};
    }
}

sub _fields {
    return [map { [split /\s*:\s*/, $_, 2] } @_];
}

sub _join {
    my ($list) = @_;
    my %joined;
    for my $field (@$list) {
        my ($name, $value) = (lc $field->[0], $field->[1] // '');
        $joined{$name} = exists $joined{$name} ? "$joined{$name}, $value" : $value;
    }
    return \%joined;
}

1;
