# The user that workers run as reads the directories of plugins, and nginx says at its start if it cannot.

use lib '.';
use t::ProxyWasm;

plan skip_all => 'only root runs workers as another user' if $> != 0;
plan skip_all => 'there is no user nobody' if !defined getpwnam 'nobody';

my $s = start_nginx(
    user        => 'nobody nogroup',
    http_config => 'wasm_plugin files $TEST_NGINX_PLUGINS/rust-files.wasm phase=rewrite dir=html/data:/data;',
    config      => 'location = /x { proxy_wasm files; return 500; }',
    user_files  => [['data/a.txt', 'hello'], ['data/hidden', 'hidden']],
);
my $data  = $s->html_dir . '/data';
my $files = sub { return $s->get('/x', 'X-Files' => $_[0])->{body} };

chmod 0600, "$data/hidden" or die $!;
is $files->('read /data/a.txt; read /data/hidden'), "read /data/a.txt: hello\nread /data/hidden: not permitted\n",
    'a plugin has the rights of the worker';

chmod 0700, $data or die $!;
my $unreadable = qr{"wasm_plugin": plugin "files" cannot read the directory \Q$data\E as the workers' user: Permission denied in \S+:\d+};
$s->mark_log;
ok $s->reload, 'a reload, when the directory cannot be read any more';
ok $s->wait_for_log(qr/\[error\] .*$unreadable/), 'is an error in the log';
is $files->('read /data/a.txt'), "read /data/a.txt: not permitted\n", 'and nginx serves on';

my $binary = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';
my $output = `$binary -t -p $s->{root}/ -c conf/nginx.conf 2>&1`;
isnt $?, 0, 'nginx -t fails';
like $output, qr/\[emerg\] .*$unreadable/, 'and says why';

chmod 0755, $data or die $!;
$s->stop(allow => [qr/cannot read the directory/]);
done_testing;
