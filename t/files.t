# Files in the directories of a plugin, by the standard libraries of Rust and of Go, in nginx and as Lua drives the plugin.

use lib '.';
use t::ProxyWasm;
use POSIX ();

# The server, with a plugin that does what its configuration and each request say.
sub serve {
    my ($path, $file, $directories, %o) = @_;
    my $conf   = $o{conf} // '';
    my @common = (user_files => $o{files} // [['data/a.txt', 'hello'], ['data/sub/b.txt', 'deep'], ['secret', 'secret']]);
    if ($path eq 'proxy_wasm') {
        return start_nginx(
            @common,
            http_config => join(' ', "wasm_plugin files \$TEST_NGINX_PLUGINS/$file.wasm phase=rewrite", map {"dir=$_"} @$directories) . ';',
            config      => "location = /x { proxy_wasm files '$conf'; return 500; }",
        );
    }
    return start_nginx(
        @common,
        lua         => 1,
        http_config => 'wasm_vm wasmtime; ' . join(' ', 'wasm_dir files', @$directories) . ';',
        config      => <<"E",
    location = /x {
        access_by_lua_block {
            local wasm = require("resty.proxy-wasm")
            plugin = plugin or assert(wasm.load("files", "\$TEST_NGINX_PLUGINS/$file.wasm"))
            context = context or assert(wasm.on_configure(plugin, "$conf;"))
            if not wasm.on_http_request_headers(context) then return ngx.exit(503) end
        }
    }
E
    );
}

# What came of commands, a line each.
sub files {
    my ($s, @commands) = @_;
    my $answer = $s->get('/x', 'X-Files' => join ';', @commands);
    return $answer->{status} == 200 ? $answer->{body} : "status $answer->{status}";
}

# Expects of each command what stands behind it; $configured is what was done at the start.
sub are {
    my ($s, $name, $configured, @expected) = @_;
    my (@commands, $lines);
    while (my ($command, $outcome) = splice @expected, 0, 2) {
        push @commands, $command;
        $lines .= "$command: $outcome\n";
    }
    return is files($s, @commands), $configured . $lines, $name;
}

sub threads {
    my ($s) = @_;
    return scalar map { glob "/proc/$_/task/*" } $s->worker_pids;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or return;
    local $/;
    return <$in>;
}

for my $path ('proxy_wasm', 'resty.proxy-wasm') {
    for my $file ('rust-files', 'go-files') {
        subtest "$file, by $path: files are read" => sub {
            my $s = serve($path, $file, ['html/data:/data', 'html/data/sub:/data/other'], conf => 'read /data/a.txt');
            my $configured = "read /data/a.txt: hello\n";
            are $s, 'by their paths', $configured,
                'read /data/sub/b.txt',    'deep',
                'read /data/other/b.txt',  'deep',
                'read /data/sub/../a.txt', 'hello',
                'list /data',              'a.txt sub',
                'list /data/sub',          'b.txt',
                'stat /data',              'directory',
                'stat /data/a.txt',        '5 bytes',
                'read /data/none',         'not found',
                'list /data/none',         'not found';
            are $s, 'nothing is changed', $configured,
                'write /data/a.txt x',        'not permitted',
                'write /data/new x',          'not permitted',
                'append /data/a.txt x',       'not permitted',
                'mkdir /data/new',            'not permitted',
                'rm /data/a.txt',             'not permitted',
                'rmdir /data/sub',            'not permitted',
                'rename /data/a.txt /data/b', 'not permitted';
            $s->stop;
        };

        subtest "$file, by $path: files are written" => sub {
            my $s    = serve($path, $file, ['html/data:/data:rw']);
            my $data = $s->html_dir . '/data';
            chmod 0777, $data or die $!;
            are $s, 'and changed', '',
                'write /data/new one',                 'done',
                'append /data/new +two',               'done',
                'read /data/new',                      'one+two',
                'mkdir /data/folder',                  'done',
                'mkdir /data/folder',                  'exists',
                'rename /data/new /data/folder/moved', 'done',
                'list /data/folder',                   'moved',
                'rm /data/a.txt',                      'done',
                'list /data',                          'folder sub';
            is slurp("$data/folder/moved"), 'one+two', 'other programs see them';
            are $s, 'and removed', '', 'rm /data/folder/moved', 'done', 'rmdir /data/folder', 'done';
            is_deeply [map { s{.*/}{}r } glob "$data/*"], ['sub'], 'they are gone';
            is threads($s), 1, 'no thread was started for it';
            $s->stop;
        };

        subtest "$file, by $path: nothing leads out" => sub {
            my $s    = serve($path, $file, ['html/data:/data:rw']);
            my $html = $s->html_dir;
            my %link = (
                absolute => "$html/secret", relative  => '../secret', directory => '..',
                root     => '/',            processes => '/proc/self', chain    => 'relative', far => '../../../../../../../../etc',
            );
            for my $name (sort keys %link) { symlink $link{$name}, "$html/data/$name" or die $! }
            POSIX::mkfifo("$html/data/fifo", 0666) or die $!;
            chmod 0777, "$html/data" or die $!;
            are $s, 'neither a link', '', map { ("read /data/$_" => 'not permitted') }
                qw(absolute relative directory/secret root/etc/passwd processes/environ chain far/passwd directory/data/a.txt);
            # The languages' libraries know which directories there are, and do not ask the host for others.
            for my $out ('/data/../secret', '../secret', '/etc/passwd', '/proc/self/environ', "$html/secret", 'secret') {
                unlike files($s, "read $out"), qr/: secret|root:|PATH=/, "nor the path $out";
            }
            are $s, 'and nothing is changed outside', '', map { ($_ => 'not permitted') }
                'write /data/directory/new x', 'mkdir /data/directory/new', 'rm /data/directory/secret',
                'rename /data/a.txt /data/directory/a.txt';
            are $s, 'a FIFO is not waited for', '', 'read /data/fifo', 'error 58', 'write /data/fifo x', 'error 58';
            is slurp("$html/secret"), 'secret', 'what is outside is as it was';
            ok !-e "$html/new", 'nothing is there that was not';
            $s->stop;
        };
    }
}

for my $file ('rust-files', 'go-files') {
    subtest "$file: what is large, and what is many" => sub {
        my @many = map { ["data/many/a-name-that-takes-some-room-$_", ''] } 1 .. 3000;
        my $s    = serve('proxy_wasm', $file, ['html/data:/data'],
            files => [@many, ['data/large', 'x' x 300_000], ['data/a.txt', 'hello']]);
        are $s, 'a directory and a file', '', 'list /data/many', '3000 names', 'size /data/large', '300000';
        like files($s, 'many /data/a.txt'), qr/^many \S+: 64 files, then error 33$/, 'an instance has only so many files open';
        are $s, 'and some again when it has closed them', '', 'read /data/a.txt', 'hello';
        is threads($s), 1, 'no thread was started';
        $s->stop;
    };
}

subtest 'without a directory there is none' => sub {
    my $s = start_nginx(
        http_config => 'wasm_plugin files $TEST_NGINX_PLUGINS/rust-files.wasm phase=rewrite;
            wasm_plugin other $TEST_NGINX_PLUGINS/rust-files.wasm phase=rewrite dir=html/data;',
        config     => 'location = /x { proxy_wasm files; return 500; } location = /y { proxy_wasm other; return 500; }',
        user_files => [['data/a.txt', 'hello']],
    );
    my $ask = sub { return $s->get($_[0], 'X-Files' => join ';', @_[1 .. $#_])->{body} };
    unlike $ask->('/x', 'read /html/data/a.txt', 'list /html/data', 'list /'), qr/: hello|: a\.txt/, 'those of another plugin are not its';
    is $ask->('/y', 'read /html/data/a.txt', 'read html/data/a.txt'),
        "read /html/data/a.txt: hello\nread html/data/a.txt: hello\n", 'a relative path begins at the root of the plugin';
    $s->stop;
};

subtest 'a reload' => sub {
    my $http = sub { "wasm_plugin files \$TEST_NGINX_PLUGINS/rust-files.wasm phase=rewrite dir=$_[0]:/data; wasm_image on;" };
    my $s    = start_nginx(
        http_config => $http->('html/one'),
        config      => q(location = /x { proxy_wasm files 'read /data/a.txt'; return 500; }),
        user_files  => [['one/a.txt', 'one'], ['two/a.txt', 'two']],
    );
    is files($s), "read /data/a.txt: one\n", 'a plugin reads a file when it is configured';
    ok $s->reload(http_config => $http->('html/two')), 'a reload with another directory';
    is files($s), "read /data/a.txt: two\n", 'it reads that one';
    open my $out, '>', $s->html_dir . '/two/a.txt' or die $!;
    print {$out} 'three';
    close $out or die $!;
    is files($s), "read /data/a.txt: two\n", 'what it has read stays';
    ok $s->reload, 'a reload with nothing changed but the file';
    is files($s), "read /data/a.txt: three\n", 'it reads the file again';
    $s->stop;
};

done_testing;
