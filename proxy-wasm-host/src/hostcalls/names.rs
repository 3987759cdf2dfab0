//! The names of all host functions, to check the imports of plugins, and the names that an operator
//! writes in `wasm_capabilities`.

use super::{
    buffers, clocks, contexts, foreign_functions, grpc_calls, headers, http_calls, local_response, logging, metrics,
    properties, redis_calls, shared_data, shared_queues, streams, timers, toolchains, upstreams,
};

/// Names imported from `env`: those of the ABI, by chapter, and those that compilers add.
const ENV: &[&[&str]] = &[
    buffers::NAMES,
    clocks::NAMES,
    contexts::NAMES,
    foreign_functions::NAMES,
    grpc_calls::NAMES,
    headers::NAMES,
    http_calls::NAMES,
    local_response::NAMES,
    logging::NAMES,
    metrics::NAMES,
    properties::NAMES,
    redis_calls::NAMES,
    shared_data::NAMES,
    shared_queues::NAMES,
    streams::NAMES,
    upstreams::NAMES,
    timers::NAMES,
    toolchains::NAMES,
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

/// Returns whether plugins can import that function.
pub fn is_import(module: &str, name: &str) -> bool {
    match module {
        "env" => ENV.iter().copied().flatten().any(|known| *known == name),
        "wasi_snapshot_preview1" | "wasi_unstable" => WASI.contains(&name),
        _ => false,
    }
}

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

/// Returns the names of all functions that plugins can import.
pub fn all() -> impl Iterator<Item = &'static str> {
    ENV.iter().copied().flatten().chain(WASI).copied()
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
