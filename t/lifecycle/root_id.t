# The root id, plugin_root_id: by it the C++ and AssemblyScript SDKs find a plugin's contexts. Without
# root_id=, the id is found with which the plugin does something: the empty one, or the plugin's name.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::RootId qw(rooted);

sub nginx {
    my ($text, $option) = @_;
    return start_nginx(
        http_config => "wasm_plugin named html/p.wat $option;",
        config      => 'location /t { proxy_wasm named; proxy_wasm named again; return 204; }',
        user_files  => [['p.wat', $text]],
    );
}

my $nothing = qr/\[error\] .*plugin "named" does nothing with the root id /;

for (
    ['contexts of the empty id', rooted(''), '', ''],
    ['contexts of the empty id, in a plugin that ends itself with others', rooted('', ends => 1), '', ''],
    ['contexts of the name', rooted('named'), '', 'named'],
    ['contexts of the name, in a plugin that ends itself with others', rooted('named', ends => 1), '', 'named'],
    ['contexts of another id', rooted('other'), 'root_id=other', 'other'],
    ['contexts of another id, in a plugin that ends itself with others', rooted('other', ends => 1), 'root_id=other', 'other'],
    ['an id with which any does something', rooted('') =~ s/(\(global\.set \$own) \(call \$is_own\)/$1 (i32.const 1)/r, 'root_id=a', 'a'],
) {
    my ($name, $text, $option, $id) = @$_;
    my $s = nginx($text, $option);
    my $r = $s->get('/t');
    is $r->{headers}{'x-root'}, "$id, $id", $name;
    $s->stop;
    unlike $s->error_log, qr/\[error\]/, "$name: no error line";
}

for (
    ['an id that the plugin does not have', 'root_id=mine', qr/$nothing"mine": it has contexts of other ids only/],
    ['neither the empty id nor the name', '', qr/$nothing"" or "named": it has contexts of other ids only/],
) {
    my ($name, $option, $line) = @$_;
    my $s = nginx(rooted('other'), $option);
    like $s->error_log, $line, "$name: a line at start";
    is $s->get('/t')->{status}, 204, "$name: the request passes";
    $s->stop;
    is scalar(() = $s->error_log =~ /$nothing/g), 1, "$name: one line";
}

my $s = nginx(rooted('other', ends => 1), '');
like $s->error_log, qr/$nothing"" or "named"/, 'a plugin that ends itself with either: a line at start';
like $s->error_log, qr/\[emerg\] .*no factory/, 'with what the plugin says of it';
is $s->get('/t')->{status}, 503, 'and no request passes';
$s->stop(allow => [qr/no factory/]);

# The plugin is started once more to find its id, where nobody sees what it does.
$s = nginx(rooted('named') =~ s/(\(func \$is_own)/(func (export "_initialize") (drop (call \$log (i32.const 2) (i32.const 32) (i32.const 10)))) $1/r, '');
$s->stop;
is scalar(() = $s->error_log =~ /no factory/g), 1, 'what the plugin logs in a trial is not logged';

done_testing;
