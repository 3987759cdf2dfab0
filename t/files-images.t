# Files and images: what a plugin has read when it started is in its image; what it has open, or has changed, cannot be.

use lib '.';
use t::ProxyWasm;
use JSON::PP qw(decode_json);
use ProxyWasm::Workers;

sub status {
    my ($s) = @_;
    my $status = decode_json($s->get('/status')->{body});
    return (grep { $_->{name} eq 'files' } @{ $status->{plugins} })[0];
}

sub serve {
    my ($conf, %o) = @_;
    my $file = $o{file} // 'rust-files';
    return start_nginx(
        workers     => $o{workers} // 1,
        http_config => "wasm_plugin files \$TEST_NGINX_PLUGINS/$file.wasm phase=rewrite image=on dir=html/data:/data:rw "
            . ($o{options} // '') . ';',
        config     => "location = /x { proxy_wasm files '$conf'; return 500; } location = /status { wasm_status; }",
        user_files => [['data/a.txt', 'hello']],
    );
}

sub files { my ($s, @commands) = @_; return $s->get('/x', 'X-Files' => join ';', @commands)->{body} }

# The same, of each worker.
sub files_of_all { my ($s, @commands) = @_; return map { ask_worker($s, $_, '/x', 'X-Files' => join ';', @commands)->{body} } $s->worker_pids }

# How many descriptors the worker has that are of files of the test.
sub open_files {
    my ($s) = @_;
    my $data = $s->html_dir . '/data';
    return scalar grep { (readlink // '') =~ m{^\Q$data\E/} } glob '/proc/' . ($s->worker_pids)[0] . '/fd/*';
}

for my $file ('rust-files', 'go-files') {
    subtest "$file: what was read is in the image" => sub {
        my $s = serve('read /data/a.txt; list /data', file => $file, workers => 2);
        is $_, "read /data/a.txt: hello\nlist /data: a.txt\n", 'it answers' for files_of_all($s);
        my $all = status($s)->{all_workers};
        is "$all->{starts} started, $all->{restores} restored", '1 started, 1 restored', 'one worker has started it, the other restored it';
        is $_, "read /data/a.txt: hello\nlist /data: a.txt\nread /data/a.txt: hello\n", 'each reads files, too' for files_of_all($s, 'read /data/a.txt');
        $s->stop;
    };

    subtest "$file: what is held open is not" => sub {
        my $s = serve('hold /data/a.txt', file => $file, workers => 2);
        like $_, qr/^hold \S+: done\nheld: /, 'it is open in each worker' for files_of_all($s, 'held');
        my $status = status($s);
        is $status->{all_workers}{starts}, 2, 'each worker has started it';
        is $status->{image}{bytes}, undef, 'there is no image';
        is $status->{image}{why_not}, 'it has files open, or has closed a directory', 'and the status says why';
        $s->stop;
    };
}

subtest 'a plugin that closes what it held has an image' => sub {
    my $s = serve('hold /data/a.txt; held; drop', workers => 2);
    is $_, "hold /data/a.txt: done\nheld: h\ndrop: done\n", 'it answers' for files_of_all($s);
    is status($s)->{all_workers}{starts}, 1, 'one worker has started it';
    $s->stop;
};

subtest 'a plugin that writes when it starts has none' => sub {
    my $s = serve('write /data/started yes', workers => 2);
    is $_, "write /data/started yes: done\n", 'it answers' for files_of_all($s);
    my $status = status($s);
    is $status->{all_workers}{starts}, 2, 'each worker has started it';
    is $status->{image}{why_not}, 'it changed files while it started', 'and the status says why';
    $s->stop;
};

subtest 'instances of requests' => sub {
    my $s = serve('read /data/a.txt', options => 'isolation=request');
    for my $round (1 .. 30) {
        is files($s, 'held', 'hold /data/a.txt', 'held') =~ s/held: (?:error|not conn).*/held: error/r,
            "read /data/a.txt: hello\nheld: error\nhold /data/a.txt: done\nheld: h\n", "request $round begins without what others held";
    }
    # The last request ends after its answer.
    $s->wait_until_asleep(($s->worker_pids)[0]);
    is open_files($s), 0, 'what requests have left open is closed';
    $s->stop;
};

done_testing;
