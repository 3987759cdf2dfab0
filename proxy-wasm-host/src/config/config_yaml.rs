//! The plugins of an APISIX `config.yaml`: `wasm.plugins`. Everything else in the file is ignored.

use std::collections::HashSet;

use serde::Deserialize;

use super::{Error, Overrides, Phase, PluginDeclaration, Result};

/// The part of the file that this host reads.
#[derive(Deserialize)]
struct ConfigYaml {
    wasm: Option<Wasm>,
}

#[derive(Deserialize)]
struct Wasm {
    plugins: Option<Vec<Entry>>,
}

/// One plugin as the file declares it. APISIX requires every field except the phase.
#[derive(Deserialize)]
struct Entry {
    name: Option<String>,
    priority: Option<i64>,
    file: Option<String>,
    http_request_phase: Option<String>,
}

/// Reads the plugins, in the file's order. A file without plugins gives an empty list.
///
/// # Errors
/// For YAML that does not parse (with its line), and for a plugin that lacks what APISIX requires
/// or repeats a name.
pub fn parse(text: &str) -> Result<Vec<PluginDeclaration>> {
    // YAML reads an empty file, or one that has only comments, as null.
    let file: Option<ConfigYaml> = serde_yaml::from_str(text).map_err(|error| Error::new(error.to_string()))?;
    let entries = file.and_then(|file| file.wasm).and_then(|wasm| wasm.plugins).unwrap_or_default();

    let mut names = HashSet::new();
    entries
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            let plugin = entry.declare(index + 1)?;
            match names.insert(plugin.name.clone()) {
                true => Ok(plugin),
                false => Err(Error::new(format!("plugin {} repeats the name \"{}\"", index + 1, plugin.name))),
            }
        })
        .collect()
}

impl Entry {
    /// Checks the entry at position `number`, counted from 1.
    fn declare(self, number: usize) -> Result<PluginDeclaration> {
        let Some(name) = self.name.filter(|name| !name.is_empty()) else {
            return Err(Error::new(format!("plugin {number} has no \"name\"")));
        };
        let missing = |key| Error::new(format!("plugin {number} (\"{name}\") has no \"{key}\""));
        let priority = self.priority.ok_or_else(|| missing("priority"))?;
        let file = self.file.filter(|file| !file.is_empty()).ok_or_else(|| missing("file"))?;
        let phase = match self.http_request_phase {
            None => Phase::default(),
            Some(phase) => Phase::parse(&phase)
                .map_err(|reason| Error::new(format!("plugin {number} (\"{name}\"): http_request_phase {reason}")))?,
        };
        Ok(PluginDeclaration {
            name,
            file,
            priority,
            phase,
            root_id: None,
            vm: None,
            vm_config: None,
            overrides: Overrides::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn plugins_are_read_and_the_rest_is_ignored() {
        let plugins = parse(
            r"
apisix:
  node_listen: 9080
  admin_key: ${{ADMIN_KEY}}
wasm:
  plugins:
    - name: wasm_log
      priority: 7999
      file: t/wasm/log/main.go.wasm
    - name: auth
      priority: -1
      file: /opt/auth.wasm
      http_request_phase: rewrite
plugins: [key-auth, wasm_log]
#END
",
        )
        .unwrap();
        let read: Vec<_> = plugins.iter().map(|p| (p.name.as_str(), p.file.as_str(), p.priority, p.phase)).collect();
        assert_eq!(
            read,
            [
                ("wasm_log", "t/wasm/log/main.go.wasm", 7999, Phase::Access),
                ("auth", "/opt/auth.wasm", -1, Phase::Rewrite),
            ]
        );
    }

    #[test]
    fn a_file_without_plugins_declares_none() {
        for text in
            ["", "# nothing\n", "apisix: {}", "wasm:", "wasm: {}", "wasm:\n  plugins:\n", "wasm:\n  plugins: []"]
        {
            assert_eq!(parse(text), Ok(Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let reason = refusal("wasm:\n  plugins:\n    - name: a\n   file: a.wasm\n");
        assert!(reason.contains("line 4"), "{reason}");
    }

    #[test]
    fn a_value_of_another_type_has_its_place() {
        let text = "wasm:\n  plugins:\n    - name: a\n      file: a.wasm\n      priority: high\n";
        let reason = refusal(text);
        assert!(reason.contains("wasm.plugins[0].priority") && reason.contains("line 5"), "{reason}");
    }

    #[test]
    fn what_apisix_requires_is_required() {
        let with = |entry: &str| {
            refusal(&format!("wasm:\n  plugins:\n    - {{name: x, priority: 1, file: x.wasm}}\n    - {{{entry}}}"))
        };
        assert_eq!(with("priority: 1, file: y.wasm"), "plugin 2 has no \"name\"");
        assert_eq!(with("name: y, file: y.wasm"), "plugin 2 (\"y\") has no \"priority\"");
        assert_eq!(with("name: y, priority: 1"), "plugin 2 (\"y\") has no \"file\"");
        assert_eq!(with("name: y, priority: 1, file: ''"), "plugin 2 (\"y\") has no \"file\"");
        assert_eq!(with("name: x, priority: 1, file: y.wasm"), "plugin 2 repeats the name \"x\"");
        assert_eq!(
            with("name: y, priority: 1, file: y.wasm, http_request_phase: log"),
            "plugin 2 (\"y\"): http_request_phase \"log\" is not a phase; write access or rewrite"
        );
    }
}
