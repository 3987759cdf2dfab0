//! Fuzzes the reader of APISIX's `config.yaml`.

use std::collections::HashSet;

use proxy_wasm_host::config::config_yaml;

/// A file is refused with a reason, or each plugin it declares can be told apart and found.
pub fn run(data: &[u8]) {
    // nginx reads bytes, and refuses what is not UTF-8 before.
    let Ok(text) = std::str::from_utf8(data) else { return };
    match config_yaml::parse(text) {
        Ok(plugins) => {
            let names: HashSet<_> = plugins.iter().map(|plugin| &plugin.name).collect();
            assert_eq!(names.len(), plugins.len());
            assert!(plugins.iter().all(|plugin| !plugin.name.is_empty() && !plugin.file.is_empty()));
        }
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
}
