package ProxyWasm::Envoy;

# An Envoy beside nginx, with the scripted guest (t/plugins/hostcalls) as its filter: for suites that
# compare what a plugin gets from either. Each case has a listener of its own, with its script.

use strict;
use warnings;
use JSON::PP ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);
use ProxyWasm::Connection ();
use ProxyWasm::Module qw(target_dir);
use ProxyWasm::Port qw(reserve_port);
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(envoy_binary start_envoy);

# Envoy's program, where it is installed: scripts/deps does so. Empty where it is not.
sub envoy_binary {
    my @installed = glob target_dir() . '/envoy/lib/python*/site-packages/envoy/_bin/envoy';
    my ($binary) = grep { defined && -x } $ENV{TEST_ENVOY}, @installed;
    return $binary // '';
}

# plugins => [file, …] and scripts => [script, …], one of each for a case; root_ids, vm_ids => likewise, or none; clusters => {name => port}; upstream => name of the
# cluster that requests go to.
sub start_envoy {
    my (%o) = @_;
    my $root = ProxyWasm::Settings::server_root() . '-envoy';
    mkdir $root;
    my $self = bless { log => "$root/log", ports => [], at => 0 }, __PACKAGE__;
    my @listeners;
    for my $index (0 .. $#{ $o{scripts} }) {
        push @{ $self->{ports} }, reserve_port();
        push @listeners, _listener(%o, index => $index, port => $self->{ports}[-1],
            plugin => $o{plugins}[$index], script => $o{scripts}[$index], root_id => $o{root_ids}[$index] // '',
            vm_id  => $o{vm_ids}[$index] // "case$index");
    }
    my @clusters = map { _cluster($_, $o{clusters}{$_}) } sort keys %{ $o{clusters} };
    open my $conf, '>', "$root/envoy.json" or die "$root/envoy.json: $!\n";
    print $conf JSON::PP->new->canonical->pretty->encode({ static_resources => { listeners => \@listeners, clusters => \@clusters } });
    close $conf;

    $self->{pid} = fork // die "fork: $!\n";
    if (!$self->{pid}) {
        open STDOUT, '>', $self->{log} or die "$self->{log}: $!\n";
        open STDERR, '>&', \*STDOUT or die $!;
        exec envoy_binary(), '-c', "$root/envoy.json", '--concurrency', 1, '--disable-hot-restart', '-l', 'warning',
            '--component-log-level', 'wasm:debug', '--log-format', '%v' or die "envoy: $!\n";
    }
    my $deadline = time + 60 * $ProxyWasm::Settings::Patience;
    for my $port (@{ $self->{ports} }) {
        while (!IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")) {
            die 'Envoy has ended: ' . $self->_log . "\n" if waitpid($self->{pid}, WNOHANG) > 0;
            die 'Envoy did not start: ' . $self->_log . "\n" if time > $deadline;
            sleep 0.02;
        }
    }
    $self->{at} = -s $self->{log};
    return $self;
}

sub _listener {
    my (%o) = @_;
    my $type = 'type.googleapis.com/envoy.extensions.filters';
    my $wasm = {
        name => 'envoy.filters.http.wasm',
        typed_config => {
            '@type' => "$type.http.wasm.v3.Wasm",
            config => {
                name => "case$o{index}",
                root_id => $o{root_id},
                vm_config => { vm_id => $o{vm_id}, runtime => 'envoy.wasm.runtime.v8', code => { local => { filename => $o{plugin} } } },
                configuration => { '@type' => 'type.googleapis.com/google.protobuf.StringValue', value => $o{script} },
            },
        },
    };
    my $router = { name => 'envoy.filters.http.router', typed_config => { '@type' => "$type.http.router.v3.Router" } };
    my $http = {
        '@type'      => "$type.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix  => "case$o{index}",
        route_config => { virtual_hosts => [{ name => 'all', domains => ['*'], routes => [{ match => { prefix => '/' }, route => { cluster => $o{upstream} } }] }] },
        http_filters => [$wasm, $router],
    };
    return {
        address       => _address($o{port}),
        filter_chains => [{ filters => [{ name => 'envoy.filters.network.http_connection_manager', typed_config => $http }] }],
    };
}

sub _cluster {
    my ($name, $port) = @_;
    return {
        name => $name, type => 'STATIC', connect_timeout => '2s',
        load_assignment => { cluster_name => $name, endpoints => [{ lb_endpoints => [{ endpoint => { address => _address($port) } }] }] },
    };
}

sub _address { return { socket_address => { address => '127.0.0.1', port_value => $_[0] } } }

# Sends the request of a case, and returns the response.
sub request {
    my ($self, $index, @request) = @_;
    return ProxyWasm::Connection->new(port => $self->{ports}[$index])->request(@request);
}

# What the plugin has logged since the last time, up to the line that `$end` matches.
sub plugin_log {
    my ($self, $end) = @_;
    my $deadline = time + 10 * $ProxyWasm::Settings::Patience;
    while (1) {
        my $new = substr $self->_log, $self->{at};
        if ($new =~ /^wasm log.*?: $end\n/m) {
            my $lines = substr $new, 0, $+[0];
            $self->{at} += length $lines;
            return $lines =~ /^wasm log case\d+[^:]*: (.*)$/mg;
        }
        die "Envoy's plugin did not log $end: $new\n" if time > $deadline;
        sleep 0.01;
    }
}

sub _log {
    my ($self) = @_;
    open my $log, '<', $self->{log} or return '';
    local $/;
    return <$log> // '';
}

sub stop {
    my ($self) = @_;
    kill TERM => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
