# What a plugin sees of WASI: output to the error log, clocks, randomness; no environment,
# no arguments, no files, and no thread started for any of it.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Scripted;

my $s = start_nginx(
    env         => ['PROXY_WASM_TEST_SECRET=1'],
    http_config => scripted() . <<'E',
    wasm_plugin files html/files.wat phase=rewrite;
E
    config => <<'E',
    location /output {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["stdout", "to stdout\n"], ["stderr", "to stderr\n"], ["stdout", "one\ntwo\n"], ["stdout", "no end"]
        ]}';
        return 200;
    }
    location /quiet {
        proxy_wasm hostcalls '{"on_configure": [["stdout", "from configure\n"]]}';
        return 200;
    }
    location /environment {
        proxy_wasm hostcalls '{"on_request_headers": [["environ"], ["args"], ["getenv", "PATH"], ["getenv", "PROXY_WASM_TEST_SECRET"]]}';
        return 200;
    }
    location /all {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["stdout", "a\n"], ["stderr", "b\n"], ["clock_time_get", "realtime"], ["random_get", 16],
            ["sched_yield"], ["sleep", 50], ["environ"], ["args"]
        ]}';
        return 200;
    }
    location /sleep {
        proxy_wasm hostcalls '{"on_request_headers": [["sleep", 100000]]}';
        return 200;
    }
    location /random {
        proxy_wasm hostcalls '{"on_response_headers": [
            {"op": "random_get", "args": [16], "as": "a", "quiet": true},
            {"op": "random_get", "args": [16], "as": "b", "quiet": true},
            {"if": ["eq", "${a}", "${b}"], "then": [["echo", "the same"]], "else": [["echo", "they differ"]]}
        ]}';
        return 200;
    }
    location /wild {
        proxy_wasm hostcalls '{"on_request_headers": [
            ["raw", "fd_write", 1, 4294967280, 4, "slot"],
            ["raw", "fd_write", 3, "slot", 0, "slot"],
            ["raw", "fd_write", 1, "end-4", 1, "slot"],
            ["raw", "random_get", 4294967280, 64],
            ["raw", "clock_res_get", 0, 4294967280]
        ]}';
        return 200;
    }
    location /files { proxy_wasm files; return 200; }
E
    user_files => <<'E');
>>> files.wat
;; Says at x-open what path_open of /etc/passwd answers for each of the descriptors 0 to 4.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "etc/passwd")
  (data (i32.const 16) "x-open")
  (data (i32.const 32) "?????")
  (data (i32.const 48) "x-prestat")
  (data (i32.const 64) "?????")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (local $fd i32)
    (loop $next
      (i32.store8 (i32.add (i32.const 32) (local.get $fd))
        (select (i32.const 48) (i32.const 69)
          (i32.eqz (call $open (local.get $fd) (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 0)
            (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 128)))))
      (i32.store8 (i32.add (i32.const 64) (local.get $fd))
        (select (i32.const 48) (i32.const 69) (i32.eqz (call $prestat (local.get $fd) (i32.const 128)))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $fd) (i32.const 5))))
    (drop (call $add (i32.const 2) (i32.const 16) (i32.const 6) (i32.const 32) (i32.const 5)))
    (drop (call $add (i32.const 2) (i32.const 48) (i32.const 9) (i32.const 64) (i32.const 5)))
    (i32.const 0)))
E

sub threads { return map { s{.*/}{}r } glob '/proc/' . ($s->worker_pids)[0] . '/task/*' }

sub thread_names {
    return sort map {
        open my $in, '<', '/proc/' . ($s->worker_pids)[0] . "/task/$_/comm" or die $!;
        my $name = <$in>;
        chomp $name;
        $name;
    } threads();
}

subtest 'output goes to the error log, a line each' => sub {
    is $s->get('/output')->{status}, 200, 'a request';
    ok $s->wait_for_log(qr/\[info\].* to stdout, client/), 'stdout at info';
    ok $s->wait_for_log(qr/\[error\].* to stderr, client/), 'stderr at error';
    ok $s->wait_for_log(qr/\d one, client/), 'the first of two lines';
    ok $s->wait_for_log(qr/\d two, client/), 'the second';
    ok $s->wait_for_log(qr/\d no end, client/), 'one without an end, when the callback ends';
    ok $s->wait_for_log(qr/from configure\s*$/), 'outside a request, too';
};

subtest 'no environment and no arguments' => sub {
    $s->get('/environment');
    like $s->wait_for_log(qr/ environ ->/), qr/environ -> SUCCESS (?:""|,|$)/, 'environ is empty';
    like $s->wait_for_log(qr/ args ->/), qr/args -> SUCCESS (?:""|,|$)/, 'args, too';
    like $s->wait_for_log(qr/getenv PATH ->/), qr/-> (?!SUCCESS|OK)/, 'PATH is not there';
    unlike $s->error_log, qr/getenv PROXY_WASM_TEST_SECRET -> (?:SUCCESS|OK)/, 'nor what env gives the worker';
};

subtest 'no file, whatever the descriptor' => sub {
    my $headers = $s->get('/files')->{headers};
    is $headers->{'x-open'}, 'EEEEE', 'path_open fails';
    is $headers->{'x-prestat'}, 'EEEEE', 'nothing is preopened';
};

subtest 'randomness' => sub {
    $s->get('/random');
    ok $s->wait_for_log('they differ'), 'is not always the same';
};

subtest 'a sleep does not hold the worker' => sub {
    my $r = $s->connect->request('GET', '/sleep');
    is $r->{status}, 200, 'the request is answered at once';
};

subtest 'wild addresses and descriptors' => sub {
    is $s->get('/wild')->{status}, 200, 'do no harm';
    ok $s->wait_for_log(qr/raw fd_write 1 4294967280 4 slot -> (?!SUCCESS|OK)/), 'fd_write';
    ok $s->wait_for_log(qr/raw fd_write 3 slot 0 slot -> (?!SUCCESS|OK)/), 'a descriptor that is not open';
    ok $s->wait_for_log(qr/raw fd_write 1 end-4 1 slot -> (?!SUCCESS|OK)/), 'a record that is half outside';
    ok $s->wait_for_log(qr/raw random_get 4294967280 64 -> (?!SUCCESS|OK)/), 'random_get';
    ok $s->wait_for_log(qr/raw clock_res_get 0 4294967280 -> (?!SUCCESS|OK)/), 'clock_res_get';
};

subtest 'no thread is started for any of it' => sub {
    my @before = thread_names();
    is $s->get('/all')->{status}, 200, 'a request that uses all of it';
    my @after = thread_names();
    is_deeply \@after, \@before, 'starts none';
    cmp_ok scalar @after, '<=', 2, 'and the worker has but its own and the clock of deadlines' or diag explain \@after;
};

$s->stop;
done_testing;
