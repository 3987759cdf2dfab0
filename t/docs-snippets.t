# Each configuration that a document shows is taken by nginx -t as it stands, and each of an example by its plugin, too.

use lib '.';
use t::ProxyWasm;
use File::Path qw(make_path);
use JSON::PP ();
use ProxyWasm::Conf qw(make_root);
use ProxyWasm::Docs qw(documents fenced slurp);
use ProxyWasm::Module qw(preamble repository);
use ProxyWasm::Process;

my $root = server_root() . '-docs';

sub spew {
    my ($path, $text) = @_;
    make_path("$root/$path" =~ s{/[^/]*\z}{}r);
    open my $file, '>', "$root/$path" or die "$path: $!";
    print $file $text;
    close $file or die "$path: $!";
}

# Something that is a plugin, for those that no document brings.
my $plugin = '(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))';

my ($yaml) = grep { /^wasm:/ } map { $_->[1] } fenced('docs/directives.md', 'yaml');
my @declared = $yaml =~ /- name: (\S+)/g;

# A whole nginx.conf of what may be a part: of a server, of http, or all of it. Plugins that it attaches and another part of the
# document declares are declared.
sub whole {
    my ($text) = @_;
    my ($main, $http) = preamble(http_config => "wasm_vm wasmtime; $text");
    return $text =~ s/^load_module .*\n/$main/mr =~ s/^http \{\n/http {\n$http/mr if $text =~ /^http \{/m;
    my %known = map { $_ => 1 } 'off', $text =~ /wasm_plugin +(\S+)/g, $text =~ /^wasm_config/m ? @declared : ();
    $http .= join '', map { "wasm_plugin $_ plugins/$_.wasm;\n" } grep { !$known{$_}++ } $text =~ /\bproxy_wasm +([\w-]+)/g;
    $text = "server { $text }" if $text =~ /^location/m;
    return "$main events {} http {\n$http$text\n}\n";
}

# What nginx -t says of it, if anything is wrong.
sub fault {
    my ($text) = @_;
    # What is absolute would be made on the machine that runs the test.
    $text =~ s{([ =])/(?:var|usr/local|opt)/[\w./-]*/(\w+)}{$1$2}g;
    make_root($root);
    my $conf = whole($text);
    spew($_, $plugin) for $conf =~ /wasm_plugin +\S+ +([^\s;]+)/g, $yaml =~ /file: (\S+)/g;
    spew($_, '{}')    for $conf =~ /conf_file=([^\s;]+)/g;
    # The directories of plugins.
    my @given = map { split ' ' } $conf =~ /^ *wasm_dir +\S+ +([^;]+)/mg;
    make_path("$root/" . s/:.*//r) for $conf =~ /\bdir=([^\s;]+)/g, @given;
    spew('conf/config.yaml', $yaml);
    spew('conf/nginx.conf', "pid logs/nginx.pid;\n$conf");
    my $nginx = ProxyWasm::Process->new(
        binary => $ProxyWasm::Settings::Binary, root => $root, conf => "$root/conf/nginx.conf");
    return '' if $nginx->check_config == 0;
    open my $said, '<', $nginx->stderr_file or die $!;
    return join '', <$said>;
}

for my $document (documents()) {
    is fault($_->[1]), '', "$document, line $_->[0]: nginx takes it" for fenced($document, 'nginx');
    for (fenced($document, 'yaml')) {
        my ($line, $text) = @$_;
        # The lines of a snippet are further in than its name.
        is fault($2 =~ s/^$1  //mgr), '', "$document, line $line: nginx takes the snippet"
            while $text =~ /^( *)http_configuration_snippet: \|\n((?:\1  .*\n|\n)+)/mg;
        is fault("wasm_plugin $_;"), '', "$document, line $line: nginx takes the plugin"
            for map { join ' ', /name: (\S+)/, /file: .*?(plugins\S+)/, map { "phase=$_" } /http_request_phase: (\w+)/ }
            split /(?=- name:)/, $text =~ /^wasm:\n.*?(- name:.*)/ms ? $1 : '';
    }
    # What a command sends, and what the plugin in it gets.
    for my $sent (slurp($document) =~ /curl [^\n]+ -d '\n? *(\{.*?\})'/gs) {
        my $route = eval { JSON::PP::decode_json($sent) };
        my @confs = map { $_->{conf} } values %{ $route->{plugins} };
        ok @confs && !(grep { !ref && !eval { JSON::PP::decode_json($_) } } @confs), "$document: a route that is sent is JSON";
    }
    for (fenced($document, 'json')) {
        ok eval { JSON::PP::decode_json($_->[1]) }, "$document, line $_->[0]: is JSON";
    }
}

# All examples at once, each attached in http: its plugin would refuse its configuration when the worker starts.
my (@examples, $all);
for my $document (grep { m{^examples/plugins/[^/]+/} } documents()) {
    push @examples, $document;
    my $text = slurp($document);
    my ($files) = map { repository() . "/$_/files" } $document =~ m{^(.*)/};
    $all .= $_->[1] =~ s{plugins/}{\$TEST_NGINX_PLUGINS/}r =~ s{\bdir=[^:;\s]+}{dir=$files}gr for fenced($document, 'nginx');
    my ($json) = $text =~ /On a route of APISIX: `("plugins": [^`]*)`/;
    ok eval { JSON::PP::decode_json("{$json}") }, "$document: what a route has is JSON";
}
my $s = start_nginx(
    http_config   => $all,
    config        => 'location = /up { proxy_wasm off; return 204; }',
    start_timeout => 300,    # all of them may have to be compiled
);
# A worker that answers has configured its plugins.
is $s->get('/up')->{status}, 204, 'examples: nginx runs with all of them';
my @log = split /^/, $s->error_log;
is scalar(grep { /create plugin context/ } @log), scalar @examples, 'examples: every plugin is configured';
is join('', grep { /\[error\]/ } @log), '', 'examples: no plugin refuses what its README says';
$s->stop;

done_testing;
