//! Standard output whose reader may close it, as in `proxy-wasm-check … | head`: there `println!`
//! would panic.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Prints like `println!`, through `line`.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints a line. If the reader is gone the check continues, so that the exit status still tells
/// the result.
pub fn line(text: Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = writeln!(std::io::stderr(), "proxy-wasm-check: the output cannot be written: {error}");
        std::process::exit(crate::USAGE_ERROR.into());
    }
}
