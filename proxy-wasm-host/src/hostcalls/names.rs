//! The names of all host functions, to check the names that an operator writes in
//! `wasm_capabilities`.

/// Names imported from `env`: those of the ABI, and those that compilers add.
const ENV: &[&str] = &[
    "abort",
    "emscripten_notify_memory_growth",
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_clear_route_cache",
    "proxy_close_stream",
    "proxy_continue_request",
    "proxy_continue_response",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_get_configuration",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_get_header_map_value",
    "proxy_get_log_level",
    "proxy_get_metric",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_resolve_shared_queue",
    "proxy_send_http_response",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
    "pthread_equal",
];

/// Names of WASI's functions.
const WASI: &[&str] = &[
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// How similar two names must be (1 means equal) for one to count as a misspelling of the other.
const SIMILAR: f64 = 0.7;

/// How many names to suggest.
const OFFERED: usize = 3;

/// Returns whether there is a host function of that name.
pub fn is_known(name: &str) -> bool {
    all().any(|known| known == name)
}

/// Returns names that the operator may have meant, the likeliest first.
pub fn similar(name: &str) -> Vec<&'static str> {
    let likeness = |known| strsim::normalized_damerau_levenshtein(name, known);
    let mut similar: Vec<_> =
        all().map(|known| (likeness(known), known)).filter(|(likeness, _)| *likeness >= SIMILAR).collect();
    similar.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    similar.into_iter().take(OFFERED).map(|(_, known)| known).collect()
}

fn all() -> impl Iterator<Item = &'static str> {
    ENV.iter().chain(WASI).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::local::probe;

    #[test]
    fn they_are_those_that_plugins_can_import() {
        let defined = probe::defined();
        let named: BTreeSet<_> = all().map(str::to_owned).collect();
        assert_eq!(named, defined);
    }

    #[test]
    fn what_is_meant_is_offered() {
        assert_eq!(similar("proxy_get_propety"), ["proxy_get_property", "proxy_set_property"]);
        assert_eq!(similar("fd_writ")[0], "fd_write");
        assert_eq!(similar("proxy_get_header_map_values")[0], "proxy_get_header_map_value");
        assert!(similar("open").is_empty());
        assert!(is_known("proxy_log") && is_known("fd_write") && !is_known("proxy_logs"));
    }
}
