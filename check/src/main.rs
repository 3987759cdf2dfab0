//! `proxy-wasm-check FILE [--conf TEXT | --conf-file PATH] [--root-id ID] [--dir DIRECTORY]…`: says what a plugin needs, whether
//! nginx will accept it, and what it does.
//!
//! It runs the module's own library on a host of plain structs, so it reports about a plugin what
//! `nginx -t` reports.
//!
//! | file | what it is |
//! |---|---|
//! | `arguments` | reads the command line |
//! | `module` | describes a plugin without running it |
//! | `producers` | finds the compiler and the SDK |
//! | `root_ids` | finds the root ids that a plugin has contexts of |
//! | `run` | runs a start, a configuration and a request |
//! | `log` | prints the library's log lines to standard output |
//! | `output` | standard output, without a panic |

mod arguments;
mod log;
mod module;
mod output;
mod producers;
mod root_ids;
mod run;

use std::process::ExitCode;

use arguments::{Arguments, USAGE};
use output::say;
use proxy_wasm_host::local;

/// The file is not a plugin that nginx would accept.
const REFUSED: u8 = 1;
/// The arguments are wrong, a file cannot be read, or the output cannot be written.
const USAGE_ERROR: u8 = 2;
/// The plugin can be loaded, but it failed, or refused its configuration.
const FAILED: u8 = 3;
/// The plugin runs, but does nothing.
const NO_EFFECT: u8 = 4;

fn main() -> ExitCode {
    log::init();
    match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => check(&arguments),
        Ok(None) => {
            say!("{}", USAGE.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprint!("proxy-wasm-check: {error}\n{USAGE}");
            ExitCode::from(USAGE_ERROR)
        }
    }
}

fn check(arguments: &Arguments) -> ExitCode {
    let path = arguments.file.display();
    let bytes = match std::fs::read(&arguments.file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("proxy-wasm-check: {path} cannot be read: {error}");
            return ExitCode::from(USAGE_ERROR);
        }
    };
    // Without a clock, a plugin that loops would hang the check.
    if let Err(error) = local::engine().start_ticker() {
        eprintln!("proxy-wasm-check: no thread can be made: {error}");
        return ExitCode::from(USAGE_ERROR);
    }
    let checked = module::check(arguments, &bytes);
    log::print();
    match checked {
        Ok(plugin) => {
            let effect = root_ids::no_effect(&plugin, &bytes);
            log::print();
            let failed = run::run(plugin, &arguments.configuration).err();
            let (reason, status) = match (failed, effect) {
                (None, None) => return ExitCode::SUCCESS,
                (Some(failure), None) => (failure, FAILED),
                (None, Some(no_effect)) => (no_effect.reason, NO_EFFECT),
                (Some(failure), Some(no_effect)) => (format!("{failure}; {}", no_effect.remedy), FAILED),
            };
            say!("\n{path} {reason}");
            ExitCode::from(status)
        }
        Err(fault) => {
            say!("\n{path} {fault}");
            ExitCode::from(REFUSED)
        }
    }
}
