//! `proxy-wasm-check FILE [--conf TEXT | --conf-file PATH]`: says what a plugin needs, whether
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
//! | `run` | runs a start, a configuration and a request |
//! | `log` | prints the library's log lines to standard output |
//! | `output` | standard output, without a panic |

mod arguments;
mod log;
mod module;
mod output;
mod producers;
mod run;

use std::process::ExitCode;

use arguments::{Arguments, USAGE};
use output::say;

/// The file is not a plugin that nginx would accept.
const REFUSED: u8 = 1;
/// The arguments are wrong, a file cannot be read, or the output cannot be written.
const USAGE_ERROR: u8 = 2;
/// The plugin can be loaded, but it failed, or refused its configuration.
const FAILED: u8 = 3;

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
    let checked = module::check(&arguments.name, &bytes, arguments.limits);
    log::print();
    match checked {
        Ok(plugin) => match run::run(plugin, &arguments.configuration) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                say!("\n{path} {reason}");
                ExitCode::from(FAILED)
            }
        },
        Err(fault) => {
            say!("\n{path} {fault}");
            ExitCode::from(REFUSED)
        }
    }
}
