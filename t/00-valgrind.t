# What `make valgrind` is worth: under valgrind, a worker that loses memory, or uses what it has freed, fails its test.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Guard 'bad_lines';

if (!$ENV{TEST_NGINX_USE_VALGRIND}) {
    Test::More::plan(skip_all => 'without valgrind there is nothing to see');
}

# Lua does here what no code of ours may do.
my %misuse = (
    'nothing' => ['', undef],
    'memory that is lost' => ['ffi.C.malloc(4321)', qr/4,321 bytes in 1 blocks are definitely lost/],
    'memory that is used after it was freed' => ['local p = ffi.C.malloc(8) ffi.C.free(p) ffi.C.strlen(p)', qr/Invalid read of size 1/],
);

for my $what (sort keys %misuse) {
    my ($code, $report) = @{ $misuse{$what} };
    subtest $what => sub {
        my $s = start_nginx(
            lua         => 1,
            http_config => <<"CONF",
    init_worker_by_lua_block {
        local ffi = require("ffi")
        ffi.cdef("void *malloc(size_t); void free(void *); size_t strlen(const char *);")
        $code
    }
CONF
        );
        is $s->get('/')->{status}, 200, 'the worker serves';
        $s->stop(allow => [qr/^==\d+==/]);
        my @bad = bad_lines([split /^/, $s->stderr]);
        if ($report) { like "@bad", $report, 'is found when it ends' }
        else         { is "@bad", '', 'is nothing to report' }
    };
}

done_testing;
