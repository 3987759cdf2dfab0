package ProxyWasm::Hostcalls;

# Every host function of ABI 0.2.1 with its parameters, for suites that call them all:
#
#     b  address and size of bytes to read: two numbers
#     o  address that 4 bytes are written to
#     O  address that 8 bytes are written to
#     n  any other number; `n=7` where a certain one is meant to work

use strict;
use warnings;

use Exporter 'import';
our @EXPORT_OK = qw(hostcalls parameters);

my $env = <<'END';
proxy_log n=1 b
proxy_get_log_level o
proxy_get_current_time_nanoseconds O
proxy_set_tick_period_milliseconds n=0
proxy_set_buffer_bytes n=0 n=0 n=0 b
proxy_get_buffer_bytes n=7 n=0 n=4 o o
proxy_get_buffer_status n=7 o o
proxy_get_header_map_size n=0 o
proxy_get_header_map_pairs n=0 o o
proxy_set_header_map_pairs n=2 b
proxy_get_header_map_value n=0 b o o
proxy_add_header_map_value n=0 b b
proxy_replace_header_map_value n=0 b b
proxy_remove_header_map_value n=0 b
proxy_get_status o o o
proxy_send_local_response n=200 b b b n=0
proxy_http_call b b b b n=1000 o
proxy_grpc_call b b b b b n=1000 o
proxy_grpc_stream b b b b o
proxy_grpc_send n=1 b n=0
proxy_grpc_cancel n=1
proxy_grpc_close n=1
proxy_set_shared_data b b n=0
proxy_get_shared_data b o o o
proxy_register_shared_queue b o
proxy_resolve_shared_queue b b o
proxy_enqueue_shared_queue n=1 b
proxy_dequeue_shared_queue n=1 o o
proxy_define_metric n=0 b o
proxy_record_metric n=1 n=1
proxy_increment_metric n=1 n=1
proxy_get_metric n=1 O
proxy_get_property b o o
proxy_set_property b b
proxy_call_foreign_function b b o o
proxy_set_effective_context n=1
proxy_done
proxy_continue_stream n=0
proxy_close_stream n=2
END

my $wasi = <<'END';
args_sizes_get o o
environ_sizes_get o o
clock_res_get n=0 O
clock_time_get n=0 n=0 O
fd_close n=9
fd_fdstat_get n=1 O
fd_filestat_get n=9 O
fd_prestat_get n=3 O
fd_prestat_dir_name n=3 b
fd_read n=0 b o
fd_write n=1 b o
fd_seek n=1 n=0 n=0 O
fd_readdir n=3 b n=0 o
path_open n=3 n=0 b n=0 n=0 n=0 n=0 o
path_unlink_file n=3 b
poll_oneoff b n=1 o
random_get b
sched_yield
sock_shutdown n=3 n=0
END

# [name, [kind, value]...] of the functions of `env`, or of WASI.
sub hostcalls {
    my ($module) = @_;
    return map {
        my ($name, @kinds) = split / /;
        [$name, map { /^(\w)(?:=(\d+))?$/; [$1, $2] } @kinds]
    } split /\n/, $module eq 'wasi' ? $wasi : $env;
}

# The arguments of a call that is right, as the scripted guest's `raw` takes them.
sub parameters {
    my (@parameters) = @_;
    return map { my ($kind, $value) = @$_; $kind eq 'b' ? ('slot', 4) : $kind eq 'n' ? $value : 'slot' } @parameters;
}

1;
