//! The declaration of one plugin:
//! `wasm_plugin NAME FILE [priority=N] [phase=access|rewrite] [root_id=ID]
//! [vm=NAME] [vm_config=TEXT|vm_config_file=PATH] [option=value…];`.

use super::{Error, Overrides, Result};

/// The nginx phase in which a plugin sees a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The access phase, after all rewriting.
    #[default]
    Access,
    /// The rewrite phase, before the location's rewrites have ended.
    Rewrite,
}

impl Phase {
    /// Returns the phase with that name.
    ///
    /// # Errors
    /// When there is no such phase.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "access" => Ok(Self::Access),
            "rewrite" => Ok(Self::Rewrite),
            _ => Err(Error::new(format!("\"{name}\" is not a phase; write access or rewrite"))),
        }
    }
}

/// The configuration that `proxy_on_vm_start` reads, as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmConfig {
    /// The configuration itself.
    Text(String),
    /// The file that has it; a relative path starts at nginx's prefix.
    File(String),
}

/// A plugin that the operator declared; its file has not been read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginDeclaration {
    /// The plugin's name in `proxy_wasm` and in APISIX's routes.
    pub name: String,
    /// The module's file, `.wasm` or `.wat`; a relative path starts at nginx's prefix.
    pub file: String,
    /// The plugin with the highest priority runs first.
    pub priority: i64,
    /// The phase in which the plugin sees a request.
    pub phase: Phase,
    /// The plugin's root id; `None` to find it.
    pub root_id: Option<String>,
    /// The VM that the plugin shares with others; `None` for a VM of its own.
    pub vm: Option<String>,
    /// The configuration of the plugin's VM, if it has one.
    pub vm_config: Option<VmConfig>,
    /// The options that this plugin sets differently from `http`.
    pub overrides: Overrides,
}

impl PluginDeclaration {
    /// Reads the arguments after `wasm_plugin`.
    ///
    /// # Errors
    /// When an argument is missing, given twice or not understood.
    pub fn parse(arguments: &[&[u8]]) -> Result<Self> {
        let mut arguments = arguments.iter().map(|argument| text(argument));
        let name = arguments.next().unwrap_or_else(|| Err(Error::new("has no name")))?;
        let file = arguments.next().unwrap_or_else(|| Err(Error::new(format!("\"{name}\" has no file"))))?;
        if name.is_empty() {
            return Err(Error::new("has an empty name"));
        }
        if file.is_empty() {
            return Err(Error::new(format!("\"{name}\" has an empty file name")));
        }

        let (mut priority, mut phase, mut root_id, mut vm, mut vm_config) = (None, None, None, None, None);
        let mut overrides = Overrides::default();
        for argument in arguments {
            let argument = argument?;
            let (option, value) = argument
                .split_once('=')
                .ok_or_else(|| Error::new(format!("has no parameter \"{argument}\"; write option=value")))?;
            match option {
                "priority" if priority.is_none() => priority = Some(parse_priority(value)?),
                "phase" if phase.is_none() => phase = Some(Phase::parse(value)?),
                "root_id" if root_id.is_none() => root_id = Some(value.to_owned()),
                "vm" if value.is_empty() => return Err(Error::new("has an empty vm")),
                "vm" if vm.is_none() => vm = Some(value.to_owned()),
                "vm_config" if vm_config.is_none() => vm_config = Some(VmConfig::Text(value.to_owned())),
                "vm_config_file" if vm_config.is_none() => vm_config = Some(VmConfig::File(value.to_owned())),
                "vm_config" | "vm_config_file" => return Err(Error::new("sets the configuration of its VM twice")),
                "priority" | "phase" | "root_id" | "vm" => return Err(Error::new(format!("sets \"{option}\" twice"))),
                _ => overrides.set(option, value)?,
            }
        }
        Ok(Self {
            name: name.to_owned(),
            file: file.to_owned(),
            priority: priority.unwrap_or_default(),
            phase: phase.unwrap_or_default(),
            root_id,
            vm,
            vm_config,
            overrides,
        })
    }
}

fn parse_priority(value: &str) -> Result<i64> {
    value.parse().map_err(|_| Error::new(format!("\"{value}\" is not a priority; write a whole number")))
}

/// nginx's arguments are bytes; names and numbers must be UTF-8 text.
fn text(argument: &[u8]) -> Result<&str> {
    std::str::from_utf8(argument)
        .map_err(|_| Error::new(format!("\"{}\" is not UTF-8", String::from_utf8_lossy(argument))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FailurePolicy, Options};

    fn parse(line: &str) -> Result<PluginDeclaration> {
        PluginDeclaration::parse(&line.split_whitespace().map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn name_and_file_are_enough() {
        let plugin = parse("auth conf/auth.wasm").unwrap();
        assert_eq!((&*plugin.name, &*plugin.file), ("auth", "conf/auth.wasm"));
        assert_eq!((plugin.priority, plugin.phase, plugin.overrides), (0, Phase::Access, Overrides::default()));
        assert_eq!(plugin.root_id, None);
    }

    #[test]
    fn parameters_come_in_any_order() {
        let plugin = parse("auth a.wasm failure=open phase=rewrite env=A=b priority=-7 memory_limit=1m").unwrap();
        assert_eq!((plugin.priority, plugin.phase), (-7, Phase::Rewrite));
        assert_eq!(parse("auth a.wasm root_id=a=b").unwrap().root_id.as_deref(), Some("a=b"));
        assert_eq!(parse("auth a.wasm vm=a").unwrap().vm.as_deref(), Some("a"));
        assert_eq!(parse("auth a.wasm vm_config=a=b").unwrap().vm_config, Some(VmConfig::Text("a=b".into())));
        assert_eq!(parse("auth a.wasm vm_config_file=c").unwrap().vm_config, Some(VmConfig::File("c".into())));
        assert_eq!(parse("auth a.wasm root_id=").unwrap().root_id.as_deref(), Some(""));
        let options = plugin.overrides.over(&Options::default());
        assert_eq!((options.failure, options.memory_limit), (FailurePolicy::Open, 1 << 20));
        assert_eq!(options.env, [("A".into(), "b".into())]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, reason) in [
            ("", "has no name"),
            ("auth", "\"auth\" has no file"),
            ("auth a.wasm fast", "has no parameter \"fast\""),
            ("auth a.wasm speed=1", "has no option \"speed\""),
            ("auth a.wasm priority=high", "\"high\" is not a priority"),
            ("auth a.wasm priority=99999999999999999999", "is not a priority"),
            ("auth a.wasm priority=1 priority=2", "sets \"priority\" twice"),
            ("auth a.wasm root_id= root_id=a", "sets \"root_id\" twice"),
            ("auth a.wasm vm=", "has an empty vm"),
            ("auth a.wasm vm=a vm=a", "sets \"vm\" twice"),
            ("auth a.wasm vm_config=a vm_config_file=b", "sets the configuration of its VM twice"),
            ("auth a.wasm phase=log", "\"log\" is not a phase"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
        assert!(PluginDeclaration::parse(&[b"", b"a.wasm"]).is_err());
        assert!(PluginDeclaration::parse(&[b"auth", b""]).is_err());
        assert!(PluginDeclaration::parse(&[b"auth", b"\xff"]).is_err());
    }
}
