package ProxyWasm::Endings;

# The cells of the ending matrix: how a request ends, where it is at that moment, and what makes its
# response. Each cell is one location per protocol. A plugin that fails belongs to one cell, so that
# requests of other cells do not meet its back-off.
#
#     my @cells = cells();
#     $cells[0]{id}; {want}     504, a status; 'none', no answer; 'cut', part of one; 'whole'
#     start_nginx(http_config => http_of(@cells), config => config_of(@cells), ...)

use strict;
use warnings;
use ProxyWasm::Zoo qw(BRIEF);

use Exporter 'import';
our @EXPORT_OK = qw(cells dying_cells waiting_cells http_of config_of servers PROTOCOLS);

use constant PROTOCOLS => qw(kept pipelined old h2);

# What makes the response. An endless one is still on its way when the request ends.
# What an upstream does is the first segment of the location's path.
my $upstream = 'proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;';
my $grpc     = 'grpc_pass grpc://127.0.0.1:$TEST_NGINX_GRPC_PORT;';
my $file     = 'alias $TEST_NGINX_HTML_DIR/large.txt;';
my %sources = (
    buffered             => ['whole', $upstream],
    'buffered-endless'   => ['endless', $upstream],
    'unbuffered-endless' => ['endless', "proxy_buffering off; $upstream"],
    pieces               => ['pieces', "proxy_buffering off; $upstream"],
    grpc                 => ['whole', $grpc],
    'grpc-pieces'        => ['pieces', $grpc],
    'grpc-endless'       => ['endless', $grpc],
    cached               => ['whole', "proxy_cache cells; proxy_cache_key whole; proxy_cache_valid 1h; $upstream"],
    'cached-endless'     => ['long', "proxy_cache cells; proxy_cache_key \$uri; proxy_cache_valid 1h; $upstream"],
    sendfile             => ['file', "sendfile on; $file"],
    file                 => ['file', "sendfile off; $file"],
    return               => ['file', 'return 200 "whole";'],
    error_page           => ['file', 'return 200 "whole";'],
    post_action          => ['whole', $upstream],
    # The body of the request passes the plugin when the upstream's handler reads it.
    streamed             => ['reads', "proxy_request_buffering off; proxy_http_version 1.1; $upstream"],
    'grpc-streamed'      => ['reads', $grpc],
);
my %outer = (
    error_page  => sub { "error_page 404 = $_[0]; return 404;" },
    post_action => sub { "post_action $_[0]; return 200 whole;" },
);

my $call = '["http_call", "127.0.0.1:$TEST_NGINX_UPSTREAM_PORT", [[":method", "GET"], [":path", "/quick"], [":authority", "u"]]]';
my $hold = '["return", "pause"]';

# Where the request is: the script of the plugin, whose steps there are given.
my %where = (
    'request headers'  => sub { qq("on_request_headers": [$_[0]]) },
    'request body'     => sub { qq("on_request_body": [$_[0]]) },
    'response headers' => sub { qq("on_response_headers": [$_[0]]) },
    'first piece'      => sub { qq("on_response_body": [$_[0]]) },
    'later piece'      => sub { qq("on_response_body": [{"if": ["eq", "\${count}", "1"], "then": [["return", "continue"]]}, $_[0]]) },
    'the end'          => sub { qq("on_response_body": [{"if": ["eq", "\${end_of_stream}", "false"], "then": [["return", "continue"]]}, $_[0]]) },
    trailers           => sub { qq("on_response_trailers": [$_[0]]) },
);
my %header_sent = map { $_ => 1 } 'later piece', 'the end', 'trailers';

# How it ends: the steps there, those of the call's answer, and what comes of it before the header is sent.
my %how = (
    timeout  => [$hold, '', 504],
    close    => ["$call, $hold", '["close_stream", "response"]', 'none'],
    answer   => ["$call, $hold", '["send_local_response", 418, "tea"]', 418],
    trap     => ["$call, $hold", '["trap"]', 503],
    deadline => ["$call, $hold", '["loop"]', 503],
    'close at once'  => ['["close_stream", "response"]', '', 'none'],
    'answer at once' => ['["send_local_response", 418, "tea"]', '', 418],
    'trap at once'   => ['["trap"]', '', 503],
    # The plugin waits for nothing, but its call is out.
    'close from a call'  => [$call, '["close_stream", "response"]', 'none'],
    'answer from a call' => [$call, '["send_local_response", 418, "tea"]', 418],
    'trap from a call'   => [$call, '["trap"]', 503],
);
my @held    = ('timeout', 'close', 'answer', 'trap', 'deadline', 'close at once', 'answer at once', 'trap at once');
my @running = ('close from a call', 'answer from a call', 'trap from a call');

sub cells {
    my @cells;
    my $add = sub {
        my ($where, $sources, @how) = @_;
        for my $source (@$sources) {
            push @cells, _cell($_, $where, $source) for @how;
        }
    };
    my @all = grep { $_ ne 'post_action' && !/pieces|streamed/ } sort keys %sources;
    $add->('request headers', [qw(buffered return file)], @held);
    $add->('request body', ['buffered', 'streamed', 'grpc-streamed'], @held);
    $add->('response headers', \@all, @held);
    $add->('first piece', [grep { !/-endless/ } @all], @held);
    # An upstream's own times count as long as it has not finished.
    my @but_timeout = grep { $_ ne 'timeout' } @held;
    $add->('first piece', [grep { /-endless/ } @all], @but_timeout);
    $add->('later piece', [grep { /-endless/ } @all], @but_timeout);
    $add->('later piece', [grep { /-endless/ } @all], @running);
    $add->('the end', ['pieces'], @held);
    $add->('trailers', ['grpc', 'grpc-pieces'], @held);
    $add->('request headers', ['post_action'], @held);
    return @cells;
}

# Upstreams that die, or say nothing, in the midst of a body that a plugin holds.
sub dying_cells {
    my @cells;
    for my $how (qw(dies silent)) {
        # Of an upstream that dies late, on a machine under load, nginx must not think that it is silent.
        my $times = $how eq 'silent' ? 'proxy_read_timeout 100ms; grpc_read_timeout 100ms;' : '';
        my %from  = (
            buffered   => $upstream,
            unbuffered => "proxy_buffering off; $upstream",
            grpc       => $grpc,
        );
        for my $source (sort keys %from) {
            for my $where ('response headers', 'first piece', 'later piece') {
                push @cells, {
                    _cell('timeout', $where, $source)->%*,
                    id       => "$how, $where, $source",
                    does     => $how,
                    location => "wasm_pause_timeout 1h; $times $from{$source}",
                    # Of a stream that is reset, nginx's gRPC tells no filter.
                    want     => $header_sent{$where} || "$how $source" eq 'dies grpc' ? 'cut' : 502,
                };
            }
        }
    }
    return @cells;
}

# Requests that plugins hold for good.
sub waiting_cells {
    my @cells = map { _cell('timeout', @$_) }
        ['request headers', 'buffered'], (map { ['request body', $_] } qw(buffered streamed grpc-streamed)),
        (map { ['response headers', $_] } qw(buffered buffered-endless unbuffered-endless grpc-endless cached file return)),
        (map { ['first piece', $_] } qw(buffered buffered-endless unbuffered-endless file sendfile)),
        ['later piece', 'unbuffered-endless'], ['the end', 'pieces'];
    $_->{location} =~ s/50ms/1h/ for @cells;
    return @cells;
}

sub _cell {
    my ($how, $where, $source) = @_;
    my ($steps, $then, $unsent) = @{ $how{$how} };
    my $from = $sources{$source};
    # The header of a response of a known length waits for the end, and so for the trailers.
    my $sent = $header_sent{$where} && "$where $source" ne 'trailers grpc';
    my $want = $source eq 'post_action' ? 'whole' : $sent ? 'cut' : $unsent;
    return {
        id       => "$how, $where, $source",
        script   => '{' . $where{$where}->($steps) . ($then && qq(, "on_http_call_response": [$then])) . '}',
        location => ($how eq 'timeout' ? 'wasm_pause_timeout 50ms; ' : '') . ($from->[1] // ''),
        does     => $from->[0],
        outer    => $outer{$source},
        method   => $where eq 'request body' ? 'POST' : 'GET',
        want     => $want,
    };
}

sub http_of {
    my $count = 0;
    my %plugin = (well => '');
    for my $cell (@_) {
        for my $protocol (PROTOCOLS) {
            my $name = 'p' . ++$count;
            $cell->{path}{$protocol} = "/$cell->{does}/$name";
            $cell->{plugin}{$protocol} = $cell->{id} =~ /^(?:trap|deadline)/ ? $name : 'well';
            $plugin{ $cell->{plugin}{$protocol} } = $cell->{id} =~ /^deadline/ ? 'callback_timeout=' . BRIEF : '';
        }
    }
    return join '', map { "wasm_plugin $_ \$TEST_NGINX_PLUGINS/hostcalls.wasm phase=rewrite $plugin{$_};\n" } sort keys %plugin;
}

sub config_of {
    my $locations = '';
    for my $cell (@_) {
        for my $protocol (PROTOCOLS) {
            my ($name, $path) = ($cell->{plugin}{$protocol}, $cell->{path}{$protocol});
            if ($cell->{outer}) {
                $locations .= "location = $path { @{[$cell->{outer}->(\"$path/in\")]} }\n";
                $path .= '/in';
            }
            $locations .= "location = $path { proxy_wasm $name '$cell->{script}'; $cell->{location} }\n";
        }
    }
    return $locations;
}

# The upstreams, over HTTP/1 and HTTP/2.
sub servers {
    return <<'E';
    proxy_cache_path cells keys_zone=cells:1m;
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        listen 127.0.0.1:$TEST_NGINX_GRPC_PORT http2;
        proxy_wasm off;
        access_log off;
        lua_check_client_abort on;
        lua_http10_buffering off;
        add_trailer grpc-status 0;
        location = /quick { keepalive_timeout 0; return 200 "quick"; }
        location /whole { default_type application/grpc; return 200 "whole"; }
        # After the whole body of the request.
        location /reads { proxy_pass http://127.0.0.1:$TEST_NGINX_UPSTREAM_PORT/whole; }
        location /pieces { content_by_lua_block {
            for _, piece in ipairs({"one ", "two ", "three"}) do ngx.print(piece) ngx.flush(true) ngx.sleep(0.01) end
        } }
        location /endless { content_by_lua_block {
            while ngx.print(("0"):rep(4096)) and ngx.flush(true) do ngx.sleep(0.01) end
        } }
        # nginx waits for all of what it caches, though the client has a plugin's answer.
        location /long { content_by_lua_block {
            for _ = 1, 50 do ngx.print(("0"):rep(4096)) ngx.flush(true) ngx.sleep(0.01) end
        } }
        location /dies { content_by_lua_block {
            ngx.header["Content-Length"] = 100000
            for _ = 1, 2 do ngx.print(("0"):rep(8192)) ngx.flush(true) ngx.sleep(0.03) end
            ngx.exit(ngx.ERROR)
        } }
        location /silent { content_by_lua_block {
            ngx.header["Content-Length"] = 100000
            for _ = 1, 2 do ngx.print(("0"):rep(8192)) ngx.flush(true) ngx.sleep(0.03) end
            ngx.sleep(100)
        } }
    }
E
}

1;
