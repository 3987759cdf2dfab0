//! Every host function, as imported: addresses and sizes are plain numbers.
//!
//! They are declared safe although the host writes where they point: this guest exists to hand the host wild addresses,
//! and whatever becomes of its memory stays in its sandbox.

/// Declares imports, and `raw`, which calls any of them by name with any numbers.
macro_rules! host_functions {
    ($name:ident, $module:literal, $( fn $function:ident($($arg:ident: $type:ty),*) -> u32; )*) => {
        pub mod $name {
            #[link(wasm_import_module = $module)]
            unsafe extern "C" {
                $( pub safe fn $function($($arg: $type),*) -> u32; )*
            }

            /// `None` if there is no such function; panics on a wrong number of arguments.
            pub fn raw(function: &str, numbers: &[i64]) -> Option<u32> {
                match function {
                    $( stringify!($function) => {
                        let [$($arg),*] = numbers else {
                            panic!("{function} takes other arguments than {numbers:?}");
                        };
                        Some($function($(*$arg as $type),*))
                    } )*
                    _ => None,
                }
            }
        }
    };
}

host_functions! { common, "env",
    fn proxy_done() -> u32;
    fn proxy_set_effective_context(id: u32) -> u32;
    fn proxy_log(level: u32, data: u32, size: u32) -> u32;
    fn proxy_get_log_level(level: u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: u32, size: u32, data: u32, data_size: u32) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: u32, max_size: u32, data: u32, size: u32) -> u32;
    fn proxy_get_buffer_status(buffer: u32, size: u32, ignored: u32) -> u32;
    fn proxy_get_header_map_size(map: u32, size: u32) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: u32, size: u32) -> u32;
    fn proxy_set_header_map_pairs(map: u32, data: u32, size: u32) -> u32;
    fn proxy_get_header_map_value(map: u32, key: u32, key_size: u32, data: u32, size: u32) -> u32;
    fn proxy_add_header_map_value(map: u32, key: u32, key_size: u32, data: u32, size: u32) -> u32;
    fn proxy_replace_header_map_value(map: u32, key: u32, key_size: u32, data: u32, size: u32) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: u32, key_size: u32) -> u32;
    fn proxy_get_status(code: u32, data: u32, size: u32) -> u32;
    fn proxy_send_local_response(status: u32, details: u32, details_size: u32, body: u32, body_size: u32, headers: u32, headers_size: u32, grpc_status: u32) -> u32;
    fn proxy_http_call(upstream: u32, upstream_size: u32, headers: u32, headers_size: u32, body: u32, body_size: u32, trailers: u32, trailers_size: u32, timeout: u32, call: u32) -> u32;
    fn proxy_grpc_call(upstream: u32, upstream_size: u32, service: u32, service_size: u32, method: u32, method_size: u32, metadata: u32, metadata_size: u32, message: u32, message_size: u32, timeout: u32, call: u32) -> u32;
    fn proxy_grpc_stream(upstream: u32, upstream_size: u32, service: u32, service_size: u32, method: u32, method_size: u32, metadata: u32, metadata_size: u32, stream: u32) -> u32;
    fn proxy_grpc_send(stream: u32, message: u32, message_size: u32, end: u32) -> u32;
    fn proxy_grpc_cancel(call: u32) -> u32;
    fn proxy_grpc_close(call: u32) -> u32;
    fn proxy_set_shared_data(key: u32, key_size: u32, data: u32, size: u32, cas: u32) -> u32;
    fn proxy_get_shared_data(key: u32, key_size: u32, data: u32, size: u32, cas: u32) -> u32;
    fn proxy_register_shared_queue(name: u32, name_size: u32, queue: u32) -> u32;
    fn proxy_resolve_shared_queue(vm: u32, vm_size: u32, name: u32, name_size: u32, queue: u32) -> u32;
    fn proxy_enqueue_shared_queue(queue: u32, data: u32, size: u32) -> u32;
    fn proxy_dequeue_shared_queue(queue: u32, data: u32, size: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: u32, name_size: u32, metric: u32) -> u32;
    fn proxy_record_metric(metric: u32, value: u64) -> u32;
    fn proxy_increment_metric(metric: u32, delta: i64) -> u32;
    fn proxy_get_metric(metric: u32, value: u32) -> u32;
    fn proxy_get_property(path: u32, path_size: u32, data: u32, size: u32) -> u32;
    fn proxy_set_property(path: u32, path_size: u32, data: u32, size: u32) -> u32;
    fn proxy_call_foreign_function(name: u32, name_size: u32, arguments: u32, arguments_size: u32, data: u32, size: u32) -> u32;
}

host_functions! { since_0_2_0, "env",
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
}

// Higress's, which other hosts do not have.
host_functions! { only_0_2_100, "env",
    fn proxy_redis_init(server: u32, server_size: u32, user: u32, user_size: u32, password: u32, password_size: u32, timeout: u32) -> u32;
    fn proxy_get_upstream_hosts(data: u32, size: u32) -> u32;
    fn proxy_set_upstream_override_host(address: u32, size: u32) -> u32;
    fn proxy_inject_encoded_data_to_filter_chain(body: u32, size: u32, end: u32) -> u32;
    fn proxy_redis_call(server: u32, server_size: u32, command: u32, command_size: u32, call: u32) -> u32;
}

host_functions! { only_0_1_0, "env",
    fn proxy_get_configuration(data: u32, size: u32) -> u32;
}

// What ABI 0.1.0 has in place of `proxy_continue_stream`. They return nothing.
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    pub safe fn proxy_continue_request();
    pub safe fn proxy_continue_response();
    pub safe fn proxy_clear_route_cache();
}

host_functions! { wasi, "wasi_snapshot_preview1",
    fn args_get(argv: u32, buffer: u32) -> u32;
    fn args_sizes_get(count: u32, size: u32) -> u32;
    fn environ_get(environ: u32, buffer: u32) -> u32;
    fn environ_sizes_get(count: u32, size: u32) -> u32;
    fn clock_res_get(clock: u32, resolution: u32) -> u32;
    fn clock_time_get(clock: u32, precision: u64, time: u32) -> u32;
    fn fd_advise(fd: u32, offset: u64, size: u64, advice: u32) -> u32;
    fn fd_allocate(fd: u32, offset: u64, size: u64) -> u32;
    fn fd_close(fd: u32) -> u32;
    fn fd_datasync(fd: u32) -> u32;
    fn fd_fdstat_get(fd: u32, stat: u32) -> u32;
    fn fd_fdstat_set_flags(fd: u32, flags: u32) -> u32;
    fn fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64) -> u32;
    fn fd_filestat_get(fd: u32, stat: u32) -> u32;
    fn fd_filestat_set_size(fd: u32, size: u64) -> u32;
    fn fd_filestat_set_times(fd: u32, atime: u64, mtime: u64, flags: u32) -> u32;
    fn fd_pread(fd: u32, iovs: u32, iovs_size: u32, offset: u64, count: u32) -> u32;
    fn fd_prestat_get(fd: u32, stat: u32) -> u32;
    fn fd_prestat_dir_name(fd: u32, path: u32, path_size: u32) -> u32;
    fn fd_pwrite(fd: u32, iovs: u32, iovs_size: u32, offset: u64, count: u32) -> u32;
    fn fd_read(fd: u32, iovs: u32, iovs_size: u32, count: u32) -> u32;
    fn fd_readdir(fd: u32, buffer: u32, size: u32, cookie: u64, used: u32) -> u32;
    fn fd_renumber(fd: u32, to: u32) -> u32;
    fn fd_seek(fd: u32, offset: i64, whence: u32, position: u32) -> u32;
    fn fd_sync(fd: u32) -> u32;
    fn fd_tell(fd: u32, position: u32) -> u32;
    fn fd_write(fd: u32, iovs: u32, iovs_size: u32, count: u32) -> u32;
    fn path_create_directory(fd: u32, path: u32, path_size: u32) -> u32;
    fn path_filestat_get(fd: u32, flags: u32, path: u32, path_size: u32, stat: u32) -> u32;
    fn path_filestat_set_times(fd: u32, flags: u32, path: u32, path_size: u32, atime: u64, mtime: u64, set: u32) -> u32;
    fn path_link(fd: u32, flags: u32, path: u32, path_size: u32, to_fd: u32, to: u32, to_size: u32) -> u32;
    fn path_open(fd: u32, lookup: u32, path: u32, path_size: u32, open: u32, base: u64, inheriting: u64, flags: u32, opened: u32) -> u32;
    fn path_readlink(fd: u32, path: u32, path_size: u32, buffer: u32, size: u32, used: u32) -> u32;
    fn path_remove_directory(fd: u32, path: u32, path_size: u32) -> u32;
    fn path_rename(fd: u32, path: u32, path_size: u32, to_fd: u32, to: u32, to_size: u32) -> u32;
    fn path_symlink(path: u32, path_size: u32, fd: u32, to: u32, to_size: u32) -> u32;
    fn path_unlink_file(fd: u32, path: u32, path_size: u32) -> u32;
    fn poll_oneoff(subscriptions: u32, events: u32, count: u32, happened: u32) -> u32;
    fn proc_raise(signal: u32) -> u32;
    fn random_get(buffer: u32, size: u32) -> u32;
    fn sched_yield() -> u32;
    fn sock_accept(fd: u32, flags: u32, accepted: u32) -> u32;
    fn sock_recv(fd: u32, iovs: u32, iovs_size: u32, flags: u32, size: u32, returned: u32) -> u32;
    fn sock_send(fd: u32, iovs: u32, iovs_size: u32, flags: u32, size: u32) -> u32;
    fn sock_shutdown(fd: u32, how: u32) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    pub safe fn proc_exit(code: u32) -> !;
}
