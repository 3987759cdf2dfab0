package ProxyWasm::Http3;

# An HTTP/3 client, t/clients/http3.py, and what a server needs to answer it.
#
#     my $missing = ProxyWasm::Http3::missing();
#     plan skip_all => $missing if $missing;
#     my $h3 = ProxyWasm::Http3->new;
#     start_nginx(config => $h3->config . …);
#     my ($got) = $h3->ask({ method => 'GET', path => '/x', headers => [['x-a', 'b']] });
#     $got->{sees}, {body}, {headers}, {trailers}, and {next}: what the connection answered afterwards

use strict;
use warnings;
use File::Temp ();
use IPC::Open2 qw(open2);
use JSON::PP qw(decode_json encode_json);
use ProxyWasm::Certificates ();
use ProxyWasm::Port qw(reserve_port);
use ProxyWasm::Skip qw(nginx_info);

# Why HTTP/3 cannot be tested here; undef if it can.
sub missing {
    return 'this nginx has no HTTP/3' if nginx_info()->{configure} !~ /http_v3_module/;
    return 'no HTTP/3 client: scripts/http3-client installs it' if !$ENV{TEST_PROXY_WASM_HTTP3};
    return;
}

sub new {
    my ($class) = @_;
    my $certificates = File::Temp->newdir;
    chmod 0755, $certificates;
    ProxyWasm::Certificates->new("$certificates")->issue(localhost => 'DNS:localhost');
    return bless { certificates => $certificates, port => reserve_port() }, $class;
}

# For the server that is to be asked; what a connection is asked at its end is there, too.
sub config {
    my ($self) = @_;
    return <<"CONF";
        listen 127.0.0.1:$self->{port} quic;
        ssl_certificate $self->{certificates}/localhost.crt;
        ssl_certificate_key $self->{certificates}/localhost.key;
        location = /next { return 200 "next"; }
CONF
}

# A client that sends these requests, with its standard output and input.
sub start {
    my ($self, $requests, @mode) = @_;
    my $pid = open2(my $out, my $in, $ENV{TEST_PROXY_WASM_HTTP3}, 't/clients/http3.py', $self->{port}, @mode);
    print $in encode_json($requests), "\n";
    $in->flush;
    return { pid => $pid, out => $out, in => $in };
}

# What became of each request.
sub ask {
    my ($self, @requests) = @_;
    my $client = $self->start(\@requests);
    my $got    = decode_json(readline $client->{out});
    waitpid $client->{pid}, 0;
    return @$got;
}

1;
