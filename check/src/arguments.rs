//! Reads the command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use proxy_wasm_host::config::units::{parse_size, parse_time};
use proxy_wasm_host::config::{self, Directory};
use proxy_wasm_host::wasm::CompileLimits;

/// The text that `--help` prints.
pub const USAGE: &str = "\
usage: proxy-wasm-check FILE [--conf TEXT | --conf-file PATH]
                        [--name NAME] [--root-id ID] [--dir HOST_PATH[:GUEST_PATH][:rw]]…
                        [--compile-timeout TIME] [--compile-memory SIZE]

Says what the Proxy-Wasm plugin in FILE (.wasm or .wat) needs of its host and what it has, then
starts it with the configuration, sends one request through it, and prints what it did.
NAME is that of nginx's wasm_plugin, by default the file's; ID is its root_id=, and --dir its dir=.
Limits of compiling are written as those of nginx's directives: 300s and 2g by default.

exit status: 0  all went well
             1  nginx would not take the plugin
             2  wrong arguments, or a file cannot be read
             3  the plugin failed, or refused the configuration
             4  the plugin has no effect
";

/// The arguments of a check.
#[derive(Debug)]
pub struct Arguments {
    /// The path of the module.
    pub file: PathBuf,
    /// The plugin's name; by default the file's.
    pub name: String,
    /// The root id, if it is given.
    pub root_id: Option<String>,
    /// The configuration that `proxy_on_configure` reads.
    pub configuration: Vec<u8>,
    /// The directories that the plugin may use.
    pub directories: Vec<Directory>,
    /// The limits for compiling.
    pub limits: CompileLimits,
}

/// Reads the arguments. Returns `None` if help is asked for.
///
/// # Errors
/// A text for the person who typed the arguments.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Arguments>, String> {
    let (mut file, mut configuration, mut limits) = (None, None, CompileLimits::default());
    let (mut name, mut root_id, mut directories) = (None, None, Vec::new());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| arguments.next().ok_or_else(|| format!("{name} takes a value"));
        let configured = match argument.to_str() {
            Some("-h" | "--help") => return Ok(None),
            Some(name @ "--conf") => value(name)?.into_encoded_bytes(),
            Some(name @ "--conf-file") => {
                let path = PathBuf::from(value(name)?);
                std::fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?
            }
            Some(option @ "--name") => {
                name = Some(value(option)?.to_string_lossy().into_owned());
                continue;
            }
            Some(option @ "--root-id") => {
                root_id = Some(value(option)?.to_string_lossy().into_owned());
                continue;
            }
            Some(option @ "--dir") => {
                let directory = parsed(&value(option)?, Directory::parse)?;
                if !directory.host.is_dir() {
                    return Err(format!("{} is not a directory", directory.host.display()));
                }
                directory.add_to(&mut directories).map_err(|error| error.to_string())?;
                continue;
            }
            Some(name @ "--compile-timeout") => {
                limits.time = parsed(&value(name)?, parse_time)?;
                continue;
            }
            Some(name @ "--compile-memory") => {
                limits.memory = parsed(&value(name)?, parse_size)?;
                continue;
            }
            Some(option) if option.starts_with('-') => return Err(format!("there is no option {option}")),
            _ if file.is_some() => return Err("one FILE at a time".to_owned()),
            _ => {
                file = Some(PathBuf::from(argument));
                continue;
            }
        };
        if configuration.replace(configured).is_some() {
            return Err("one configuration at a time".to_owned());
        }
    }
    let file = file.ok_or("which FILE?")?;
    let name = name.unwrap_or_else(|| file.file_stem().unwrap_or_default().to_string_lossy().into_owned());
    let configuration = configuration.unwrap_or_default();
    Ok(Some(Arguments { file, name, root_id, configuration, directories, limits }))
}

fn parsed<T>(value: &OsStr, parse: impl Fn(&str) -> Result<T, config::Error>) -> Result<T, String> {
    parse(&value.to_string_lossy()).map_err(|error| error.to_string())
}
