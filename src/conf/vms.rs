//! Which plugins share a VM: `vm=` of `wasm_plugin`.

use proxy_wasm_host::config::{FailurePolicy, Options, Resume, StartFailure};

use super::http::{Declared, Fault, HttpConf};

impl HttpConf {
    /// Returns, for each declared plugin, the index of the first plugin of its VM: its own index, if
    /// it shares its VM with none before it.
    ///
    /// # Errors
    ///
    /// If plugins of one VM differ in what belongs to the VM, or if a VM has the name of a plugin
    /// that is not in it.
    pub fn find_vms(&self) -> Result<Vec<usize>, Fault> {
        self.declared.iter().enumerate().map(|(index, declared)| self.find_vm(index, declared)).collect()
    }

    fn find_vm(&self, index: usize, declared: &Declared) -> Result<usize, Fault> {
        let Some(vm) = &declared.plugin.vm else { return Ok(index) };
        let is_stranger = |other: &&Declared| other.plugin.name == *vm && other.plugin.vm.as_ref() != Some(vm);
        let name = &declared.plugin.name;
        if let Some(stranger) = self.declared.iter().find(is_stranger) {
            let place = &stranger.place;
            return Err(declared.fault(&format!(
                "\"{name}\" has vm={vm}, the name of a plugin that is not in that VM{place}; write vm={vm} there, too, or another name here"
            )));
        }
        let first = self.declared[..index].iter().position(|other| other.plugin.vm.as_ref() == Some(vm));
        let Some(first) = first else { return Ok(index) };
        match self.difference(&self.declared[first], declared) {
            None => Ok(first),
            Some(what) => {
                let Declared { plugin, place, .. } = &self.declared[first];
                Err(declared.fault(&format!(
                    "\"{name}\" has vm={vm}, as \"{}\" has{place}, but another {what}; plugins of one VM have the same",
                    plugin.name
                )))
            }
        }
    }

    /// Names the first thing in which two plugins differ that belongs to their VM.
    fn difference(&self, a: &Declared, b: &Declared) -> Option<&'static str> {
        let options = |of: &Declared| {
            let options = self.with_directories(&of.plugin.name, of.plugin.overrides.over(&self.options()));
            // What happens to a request, and to nginx, is each plugin's own.
            let (failure, start_failure) = (FailurePolicy::default(), StartFailure::default());
            Options { failure, start_failure, body_buffer_size: 0, pause: None, resume: Resume::Plugin, ..options }
        };
        let (x, y) = (options(a), options(b));
        let differences = [
            ("file", a.path != b.path),
            ("vm_config", a.vm_configuration != b.vm_configuration),
            ("memory_limit", x.memory_limit != y.memory_limit),
            ("host_memory", x.host_memory != y.host_memory),
            ("callback_timeout", x.callback_timeout != y.callback_timeout),
            ("start_timeout", x.start_timeout != y.start_timeout),
            ("image", x.image != y.image),
            ("isolation", x.isolation != y.isolation),
            ("env", x.env != y.env),
            ("capabilities", x.capabilities != y.capabilities),
            ("list of directories", x.directories != y.directories),
            ("option", x != y),
        ];
        differences.iter().find(|(_, differs)| *differs).map(|(what, _)| *what)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proxy_wasm_host::config::PluginDeclaration;

    use super::*;

    fn conf(lines: &[&str]) -> HttpConf {
        let declared = lines.iter().enumerate().map(|(index, line)| {
            let arguments: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            let plugin = PluginDeclaration::parse(&arguments).unwrap();
            Declared {
                path: PathBuf::from(&plugin.file),
                plugin,
                vm_configuration: Vec::new(),
                directive: "wasm_plugin",
                place: format!(" in c:{index}"),
            }
        });
        HttpConf { declared: declared.collect(), ..HttpConf::default() }
    }

    #[test]
    fn plugins_with_the_same_vm_share_it() {
        let conf =
            conf(&["a x vm=v", "b x", "c x vm=w failure=open", "d x vm=v priority=2 body_buffer_size=1 root_id=d"]);
        assert_eq!(conf.find_vms().unwrap(), [0, 1, 2, 0]);
        assert_eq!(self::conf(&["v x vm=v", "w x vm=v"]).find_vms().unwrap(), [0, 0]);
    }

    #[test]
    fn what_belongs_to_the_vm_is_the_same() {
        for (second, what) in [
            ("b y vm=v", "file"),
            ("b x vm=v memory_limit=1m", "memory_limit"),
            ("b x vm=v isolation=request", "isolation"),
            ("b x vm=v env=A=b", "env"),
            ("b x vm=v dir=/usr", "list of directories"),
        ] {
            let fault = conf(&["a x vm=v", second]).find_vms().unwrap_err();
            let expected = format!(
                "\"wasm_plugin\": \"b\" has vm=v, as \"a\" has in c:0, but another {what}; plugins of one VM have the same"
            );
            assert_eq!((fault.message, &*fault.place), (expected, " in c:1"));
        }
    }

    #[test]
    fn a_vm_has_no_name_of_a_plugin_that_is_not_in_it() {
        for lines in [["a x vm=b", "b x"], ["b x vm=c", "a x vm=b"]] {
            let fault = conf(&lines).find_vms().unwrap_err();
            assert!(
                fault.message.contains("\"a\" has vm=b, the name of a plugin that is not in that VM"),
                "{}",
                fault.message
            );
        }
    }
}
