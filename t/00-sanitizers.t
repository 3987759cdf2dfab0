# What `make sanitize` is worth: a process that misuses memory, or loses it, fails its test.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Sanitizer 'reports';

if (!$ENV{TEST_NGINX_SANITIZED}) {
    Test::More::plan(skip_all => 'without sanitizers there is nothing to see');
}

# Lua does here what no code of ours may do.
my %misuse = (
    'nothing' => ['', undef],
    'memory that is lost' => ['ffi.C.malloc(4321)', qr/LeakSanitizer: .*Direct leak of 4321 byte/s],
    'memory that is used after it was freed' =>
        [
            'local p = ffi.C.malloc(8) ffi.C.free(p) ffi.C.strlen(p)',
            qr/AddressSanitizer: heap-use-after-free/
        ],
    'memory of a pool that is used past its end' =>
        [
            'ffi.C.memset(ffi.C.ngx_palloc(ffi.C.ngx_cycle.pool, 8), 0, 9)',
            qr/AddressSanitizer: heap-buffer-overflow/
        ],
);

for my $what (sort keys %misuse) {
    my ($code, $report) = @{ $misuse{$what} };
    subtest $what => sub {
        my $s = start_nginx(
            lua    => 1,
            config => <<"CONF",
    location /t {
        content_by_lua_block {
            local ffi = require("ffi")
            ffi.cdef [[
                void *malloc(size_t); void free(void *); size_t strlen(const char *);
                void *memset(void *, int, size_t);
                struct cycle { void *conf_ctx; void *pool; } *ngx_cycle;
                void *ngx_palloc(void *, size_t);
            ]]
            $code
            ngx.say("done")
        }
    }
CONF
        );
        my $earlier = () = reports();
        $s->get('/t');
        ok $s->stop(allow => [$report // ()]), 'nginx ends by itself';
        my @new = splice @{ [reports()] }, $earlier;
        if ($report) { like "@new", $report, 'it is found' }
        else         { is "@new", '', 'nothing is reported' }
    };
}

done_testing;
