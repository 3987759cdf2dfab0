package ProxyWasm::Zoo;

# A gateway with dangerous plugins, and the checks that must pass whatever the plugins do: the same
# worker still runs, a location without plugins answers, a healthy plugin works, and the log shows
# no contained defect of the module.
#
#     my $zoo = open_zoo(
#         plugins => { 'trap' => { script => '{"on_log": [["trap"]]}', options => 'failure=open' } },
#     );
#     is $zoo->get('/trap', 'X-Bad' => 1)->{status}, 503;
#     $zoo->is_unharmed('after a trap');
#     $zoo->close;
#
# Each plugin is at /NAME, runs in the rewrite phase, and answers "NAME\n" where it does nothing else. A plugin is the scripted
# guest, or `file`: one of the compiled plugins, or a .wat of user_files. Other options are those of start_nginx.

use strict;
use warnings;
use Test::More ();
use ProxyWasm::Server ();
use ProxyWasm::Settings ();

use Exporter 'import';
our @EXPORT_OK = qw(open_zoo bad_in BRIEF);

# Processor time of a callback that is to run past it: short, but long enough for what leads there, and for plugins that are well.
use constant BRIEF => ($ProxyWasm::Settings::Patience > 1 ? 100 * $ProxyWasm::Settings::Patience : 20) . 'ms';

sub open_zoo {
    my (%o) = @_;
    my $plugins = delete $o{plugins};
    my ($http, $locations) = ('', '');
    for my $name (sort keys %$plugins) {
        my %plugin  = (file => 'hostcalls.wasm', options => '', script => '', location => '', %{ $plugins->{$name} });
        my $file    = $plugin{file} =~ /\.wat$/ ? "\$TEST_NGINX_HTML_DIR/$plugin{file}" : "\$TEST_NGINX_PLUGINS/$plugin{file}";
        my $content = $plugin{content} // "return 200 \"$name\\n\";";
        (my $script = $plugin{script}) =~ s/\s*\n\s*/ /g;
        # nginx takes no argument of more than 4,000 bytes.
        my $conf = "'$script'";
        if (length $script > 3000) {
            push @{ $o{user_files} }, ["$name.json", $script];
            $conf = "conf_file=\$TEST_NGINX_HTML_DIR/$name.json";
        }
        $http      .= "    wasm_plugin $name $file phase=rewrite $plugin{options};\n";
        $locations .= "    location = /$name { proxy_wasm $name $conf; $plugin{location} $content }\n";
    }
    my $server = ProxyWasm::Server::start_nginx(
        %o,
        http_config => ($o{http_config} // '')
            . "    wasm_plugin healthy \$TEST_NGINX_PLUGINS/rust-headers.wasm phase=rewrite;\n$http",
        config => ($o{config} // '')
            . "    location = /plain { return 200 \"plain\\n\"; }\n"
            . "    location = /healthy { proxy_wasm healthy well; return 200 \"healthy\\n\"; }\n$locations",
    );
    my ($worker) = $server->worker_pids;
    return bless { server => $server, worker => $worker }, __PACKAGE__;
}

sub get    { my $self = shift; return $self->{server}->get(@_) }
sub post   { my $self = shift; return $self->{server}->post(@_) }
sub server { $_[0]{server} }
sub worker { $_[0]{worker} }

# A script that takes the step $fault in $callback, if the request has X-Bad, and marks the response where it comes so far.
sub bad_in {
    my ($callback, $fault) = @_;
    my $bad  = qq({"if": ["request_header", "x-bad"], "then": [$fault]});
    my $mark = '["add_header_map_value", "response", "x-zoo", "alive"]';
    # Without trailers there is no callback.
    $mark .= ', ["add_header_map_value", "response_trailers", "x-end", "1"]' if $callback eq 'on_response_trailers';
    return qq({"on_response_headers": [$bad, $mark]}) if $callback eq 'on_response_headers';
    return qq({"$callback": [$bad], "on_response_headers": [$mark]});
}

# What the error log has of a pattern, as lines.
sub lines {
    my ($self, $pattern) = @_;
    return grep { /$pattern/ } split /^/, $self->{server}->error_log;
}

sub is_unharmed {
    my ($self, $when) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $plain   = $self->get('/plain');
    my $healthy = $self->get('/healthy');
    my @found   = (
        [$self->{server}->worker_pids], $plain->{body}, $healthy->{body}, $healthy->{headers}{'x-rust'},
        [$self->lines(qr/a defect of this module was contained/)],
    );
    Test::More::is_deeply \@found, [[$self->{worker}], "plain\n", "healthy\n", 'well', []],
        "$when the gateway is unharmed";
}

# A plugin that fails writes what it likes, at any level; all else must not be in the log.
sub close {
    my ($self, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->{server}->stop(%o);
}

1;
