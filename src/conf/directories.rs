//! The directories that plugins may use: `dir=` of `wasm_plugin`, and `wasm_dir`.

use std::fs;
use std::path::Path;

use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, statfs};
use proxy_wasm_host::config::{Directory, Options};

use super::http::{Fault, HttpConf, io_reason};

/// A directory of a plugin, and where it is written.
struct Written<'a> {
    plugin: &'a str,
    directory: &'a Directory,
    directive: &'a str,
    place: &'a str,
}

impl HttpConf {
    /// Adds the directories that `wasm_dir` gives a plugin to its options.
    pub fn with_directories(&self, plugin: &str, mut options: Options) -> Options {
        let named = self.directories.iter().filter(|named| named.plugin == plugin);
        options.directories.extend(named.map(|named| named.directory.clone()));
        options
    }

    /// Checks that each plugin of a `wasm_dir` line is there, as far as plugins are declared; that no
    /// plugin has two directories at one path; and that all directories are there.
    ///
    /// # Errors
    ///
    /// The first line that is wrong.
    pub fn check_directories(&self) -> Result<(), Fault> {
        for named in &self.directories {
            let is_declared = self.declared.iter().any(|declared| declared.plugin.name == named.plugin);
            // Lua loads plugins later.
            if !is_declared && !self.wasm_vm {
                return Err(Fault {
                    message: format!(
                        "\"wasm_dir\": there is no plugin \"{}\"; declare it with wasm_plugin or wasm_config",
                        named.plugin
                    ),
                    place: named.place.clone(),
                });
            }
        }
        let all = self.all_directories();
        for (index, written) in all.iter().enumerate() {
            let is_same = |other: &&Written<'_>| {
                other.plugin == written.plugin && other.directory.guest == written.directory.guest
            };
            if let Some(other) = all[..index].iter().find(is_same) {
                let (guest, place) = (&written.directory.guest, other.place);
                return Err(written.fault(&format!("has a directory at {guest} already{place}")));
            }
            written.check()?;
        }
        Ok(())
    }

    /// Returns what is wrong with the directories that this process cannot read, with the rights that
    /// it has now.
    pub fn unreadable_directories(&self) -> Vec<Fault> {
        self.all_directories().iter().filter_map(Written::unreadable).collect()
    }

    fn all_directories(&self) -> Vec<Written<'_>> {
        let of_declared = self.declared.iter().flat_map(|declared| {
            declared.plugin.overrides.directories().iter().map(|directory| Written {
                plugin: &declared.plugin.name,
                directory,
                directive: declared.directive,
                place: &declared.place,
            })
        });
        let named = self.directories.iter().map(|named| Written {
            plugin: &named.plugin,
            directory: &named.directory,
            directive: "wasm_dir",
            place: &named.place,
        });
        of_declared.chain(named).collect()
    }
}

impl Written<'_> {
    fn fault(&self, reason: &str) -> Fault {
        let message = format!("\"{}\": plugin \"{}\" {reason}", self.directive, self.plugin);
        Fault { message, place: self.place.to_owned() }
    }

    /// Checks that the directory is there, with the rights of whoever reads the configuration.
    fn check(&self) -> Result<(), Fault> {
        let path = &self.directory.host;
        let cannot = |reason: &str| self.fault(&format!("cannot have the directory {}: {reason}", path.display()));
        let metadata = fs::metadata(path).map_err(|error| cannot(&io_reason(&error)))?;
        if !metadata.is_dir() {
            return Err(cannot("it is not a directory"));
        }
        if is_of_kernel(path) {
            return Err(cannot("it shows processes or the machine, and not files"));
        }
        Ok(())
    }

    /// The reason why this process, with the rights that it has, cannot list the directory.
    fn unreadable(&self) -> Option<Fault> {
        let error = fs::read_dir(&self.directory.host).err()?;
        let (path, reason) = (self.directory.host.display(), io_reason(&error));
        Some(self.fault(&format!("cannot read the directory {path} as the workers' user: {reason}")))
    }
}

/// Whether a directory is one that the kernel makes up.
fn is_of_kernel(path: &Path) -> bool {
    statfs(path).is_ok_and(|statfs| [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&statfs.filesystem_type()))
}

#[cfg(test)]
mod tests {
    use proxy_wasm_host::config::PluginDeclaration;

    use super::*;
    use crate::conf::{Declared, NamedDirectory};

    fn conf(plugins: &[&str], lines: &[(&str, &str)]) -> HttpConf {
        let declared = plugins.iter().enumerate().map(|(index, line)| {
            let arguments: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            let plugin = PluginDeclaration::parse(&arguments).unwrap();
            let place = format!(" in c:{index}");
            Declared {
                path: plugin.file.clone().into(),
                plugin,
                vm_configuration: Vec::new(),
                directive: "wasm_plugin",
                place,
            }
        });
        let directories = lines.iter().enumerate().map(|(index, (plugin, text))| NamedDirectory {
            plugin: (*plugin).to_owned(),
            directory: Directory::parse(text).unwrap(),
            place: format!(" in d:{index}"),
        });
        HttpConf { declared: declared.collect(), directories: directories.collect(), ..HttpConf::default() }
    }

    fn fault(plugins: &[&str], lines: &[(&str, &str)]) -> (String, String) {
        let Fault { message, place } = conf(plugins, lines).check_directories().unwrap_err();
        (message, place)
    }

    #[test]
    fn the_directories_of_both_directives_add_up() {
        let conf = conf(&["a x dir=/usr:/one"], &[("a", "/usr:/two"), ("b", "/usr:/one"), ("a", "/usr:/three:rw")]);
        let options = conf.with_directories("a", conf.declared[0].plugin.overrides.over(&Options::default()));
        let paths: Vec<_> = options.directories.iter().map(|directory| &*directory.guest).collect();
        assert_eq!(paths, ["/one", "/two", "/three"]);
    }

    #[test]
    fn what_cannot_be_is_told_where_it_is_written() {
        let none = fault(&["a x"], &[("b", "/usr")]);
        assert_eq!(none.0, "\"wasm_dir\": there is no plugin \"b\"; declare it with wasm_plugin or wasm_config");
        let twice = fault(&["a x dir=/usr:/x"], &[("a", "/etc:/x")]);
        assert_eq!(twice, ("\"wasm_dir\": plugin \"a\" has a directory at /x already in c:0".into(), " in d:0".into()));
        let missing = fault(&["a x", "b x dir=/no/such"], &[]);
        let expected = "\"wasm_plugin\": plugin \"b\" cannot have the directory /no/such: No such file or directory";
        assert_eq!(missing, (expected.into(), " in c:1".into()));
        assert!(fault(&["a x dir=/etc/passwd"], &[]).0.ends_with("/etc/passwd: it is not a directory"));
        // In a tree of its own, /sys may be a mere directory.
        for path in ["/proc", "/proc/self", "/sys"].into_iter().filter(|path| fs::read_dir(path).unwrap().count() > 0) {
            assert!(fault(&[], &[("a", path)]).0.contains("there is no plugin"));
            let of_kernel = fault(&[&format!("a x dir={path}")], &[]);
            assert!(of_kernel.0.ends_with("it shows processes or the machine, and not files"), "{}", of_kernel.0);
        }
    }

    #[test]
    fn a_plugin_of_lua_is_not_known_yet() {
        let conf = HttpConf { wasm_vm: true, ..conf(&[], &[("lua", "/usr")]) };
        conf.check_directories().unwrap();
    }
}
