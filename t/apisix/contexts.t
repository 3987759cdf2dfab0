# Plugin contexts as APISIX makes and drops them: one for each type and id of a place, kept in its configuration, gone by GC when
# that is replaced.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Apisix;

my $LOG = <<'YAML';
wasm:
  plugins:
    - name: log
      priority: 7999
      file: log.wasm
YAML

# What the log says of contexts and plugins, in few words.
sub life {
    my ($s) = @_;
    my @lines;
    for (split /^/, $s->error_log) {
        push @lines, "$1 $2 $3" if /\] \d+#\d+: (create|free) (plugin|http) context (\d+)$/;
        push @lines, "$1 with $2 in $3" if /run (plugin ctx \d+) with conf (\w+) in (http ctx \d+)/;
        push @lines, $1 if /((?:un)?loaded) wasm plugin/;
    }
    return \@lines;
}

# steps: a path to get, or [PUT => path, body]; then: what the log says after them all.
my @cases = (
    {   name   => 'a plugin context is made for the first request, and serves the next ones',
        apisix => route(1, '/t', 'blah'),
        steps  => ['/t', '/t'],
        log    => [
            'loaded', 'create plugin 1',
            ('create http 2', 'plugin ctx 1 with blah in http ctx 2', 'free http 2') x 2,
        ],
        at_exit => ['free plugin 1', 'unloaded'],
    },
    {   name   => 'a plugin that no route uses has none',
        apisix => "routes:\n  - id: 1\n    uri: /t\n",
        steps  => ['/t'],
        log    => ['loaded'],
        at_exit => ['unloaded'],
    },
    {   name   => 'a global rule and a route are two plugin contexts, and two HTTP contexts of one request',
        apisix => <<'YAML' . route(1, '/t', 'route'),
global_rules:
  - id: 1
    plugins:
      log:
        conf: global
YAML
        steps => ['/t'],
        log   => [
            'loaded',
            'create plugin 1', 'create http 2', 'plugin ctx 1 with global in http ctx 2',
            'create plugin 3', 'create http 4', 'plugin ctx 3 with route in http ctx 4',
            'free http 2', 'free http 4',
        ],
    },
    {   name   => 'two routes of a service are two plugin contexts',
        apisix => <<'YAML',
services:
  - id: 1
    plugins:
      log:
        conf: service
routes:
  - id: 1
    uri: /t
    service_id: 1
  - id: 2
    uri: /other
    service_id: 1
YAML
        steps => ['/t', '/other', '/t'],
        log   => [
            'loaded',
            'create plugin 1', 'create http 2', 'plugin ctx 1 with service in http ctx 2', 'free http 2',
            'create plugin 3', 'create http 4', 'plugin ctx 3 with service in http ctx 4', 'free http 4',
            'create http 2', 'plugin ctx 1 with service in http ctx 2', 'free http 2',
        ],
    },
    {   name   => "a route's own configuration stands before that of its service",
        apisix => <<'YAML',
services:
  - id: 1
    plugins:
      log:
        conf: service
routes:
  - id: 1
    uri: /t
    service_id: 1
    plugins:
      log:
        conf: route
YAML
        steps => ['/t'],
        log   => ['loaded', 'create plugin 1', 'create http 2', 'plugin ctx 1 with route in http ctx 2', 'free http 2'],
    },
    {   name   => 'a route that changes has a new plugin context, and the old one is freed by GC',
        apisix => route(1, '/t', 'old'),
        steps  => ['/t', [PUT => '/apisix', resources(route(1, '/t', 'new'))], [PUT => '/gc'], '/t'],
        log    => [
            'loaded', 'create plugin 1', 'create http 2', 'plugin ctx 1 with old in http ctx 2', 'free http 2', 'free plugin 1',
            'create plugin 1', 'create http 3', 'plugin ctx 1 with new in http ctx 3', 'free http 3',
        ],
    },
    {   name   => 'a reload of plugins loads anew, and what a route already has serves on; what nobody holds is unloaded',
        apisix => route(1, '/t', 'blah'),
        steps  => ['/t', [PUT => '/plugins/reload'], [PUT => '/gc'], '/t', [PUT => '/apisix', '{}'], [PUT => '/gc']],
        log    => [
            'loaded', 'create plugin 1', 'create http 2', 'plugin ctx 1 with blah in http ctx 2', 'free http 2',
            'loaded', 'create http 2', 'plugin ctx 1 with blah in http ctx 2', 'free http 2',
            'free plugin 1', 'unloaded',
        ],
    },
    {   name   => 'a request that still runs keeps the context of a route that changed, and its plugin',
        apisix => route(1, '/slow', 'blah'),
        steps  => ['/slow'],
        slow   => 1,
        log    => [
            'loaded', 'create plugin 1', 'create http 2', 'plugin ctx 1 with blah in http ctx 2',
            'loaded', 'free http 2', 'free plugin 1', 'unloaded',
        ],
    },
    {   name   => 'one name is one VM: contexts of two names count for themselves',
        plugins => <<'YAML',
wasm:
  plugins:
    - name: one
      priority: 2
      file: log.wasm
    - name: two
      priority: 1
      file: log.wasm
YAML
        apisix => <<'YAML',
routes:
  - id: 1
    uri: /t
    plugins:
      one:
        conf: first
      two:
        conf: second
YAML
        steps => ['/t'],
        log   => [
            'loaded', 'loaded',
            'create plugin 1', 'create http 2', 'plugin ctx 1 with first in http ctx 2',
            'create plugin 1', 'create http 2', 'plugin ctx 1 with second in http ctx 2',
            'free http 2', 'free http 2',
        ],
    },
);

sub route {
    my ($id, $uri, $conf) = @_;
    return <<"YAML";
routes:
  - id: $id
    uri: $uri
    plugins:
      log:
        conf: $conf
YAML
}

# The upstream's answer to /slow comes when the gateway has forgotten all that led to it.
my $upstream = <<'CONF';
    location /slow {
        content_by_lua_block {
            for _, path in ipairs({"/apisix", "/plugins/reload", "/gc"}) do
                local socket = ngx.socket.tcp()
                assert(socket:connect("127.0.0.1", $TEST_NGINX_SERVER_PORT))
                assert(socket:send("PUT " .. path .. " HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}"))
                assert(socket:receive("*a"))
            end
            ngx.say("slow")
        }
    }
CONF

for my $case (@cases) {
    subtest $case->{name} => sub {
        my $s = start_nginx(gateway(
            config_yaml => $case->{plugins} // $LOG,
            apisix_yaml => $case->{apisix},
            upstream    => $case->{slow} ? $upstream : '',
        ));
        for my $step (@{ $case->{steps} }) {
            my ($method, $path, $body) = ref $step ? @$step : (GET => $step);
            is $s->request($method, $path, body => $body)->{status}, 200, "$method $path";
        }
        if ($case->{slow}) {
            $s->request(PUT => '/gc');
        }
        my $freed = grep { /^free http/ } @{ $case->{log} };
        $s->wait_for_log(qr/free http context/, count => $freed) if $freed;
        is_deeply life($s), $case->{log}, 'contexts' or diag join "\n", @{ life($s) };
        $s->mark_log;
        $s->stop;
        is_deeply life($s), $case->{at_exit}, 'what ends with the worker' if $case->{at_exit};
    };
}

done_testing;
