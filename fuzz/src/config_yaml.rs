//! Fuzzes the reader of APISIX's `config.yaml`.

use std::collections::HashSet;

use proxy_wasm_host::config::config_yaml;

/// Expects that a file is refused with a reason, or that each plugin it declares has a file and a
/// name of its own.
pub fn run(data: &[u8]) {
    // nginx refuses a file that is not UTF-8 before it parses the file.
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
