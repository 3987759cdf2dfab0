//! A scripted guest. Its plugin configuration says which host functions each callback calls; README.md has the language.
//!
//! No SDK: the imports are raw, so that a test sees the very status the host returned.
//!
//! | file | |
//! |---|---|
//! | `abi` | every host function, as imported |
//! | `names` | the ABI's enums: `request` is map 0, status 1 is `NOT_FOUND` |
//! | `memory` | the allocator the host calls, and what the host returns through it |
//! | `pairs` | header maps on the wire |
//! | `callbacks` | every `proxy_on_*` export |
//! | `contexts` | which contexts live, their scripts and variables |
//! | `script` | the configuration, parsed |
//! | `run` | a callback's steps, carried out |
//! | `values`, `args` | what goes into a step: placeholders replaced |
//! | `outcome`, `show` | what comes out, and how the log shows it |
//! | `ops` | the steps: one file for each chapter of the spec |

mod abi;
mod args;
mod callbacks;
mod contexts;
mod memory;
mod names;
pub mod ops;
mod outcome;
mod pairs;
mod run;
mod script;
mod show;
mod values;

pub use callbacks::{on_request_headers, on_response_headers, start};

/// What makes a guest of this library: the version it speaks and the chapters of operations that go with it.
#[macro_export]
macro_rules! guest {
    (marker: $marker:ident, chapters: [$($chapters:path),*],) => {
        #[unsafe(no_mangle)]
        extern "C" fn $marker() {}

        #[unsafe(no_mangle)]
        extern "C" fn _initialize() {
            $crate::start(&[$($chapters),*]);
        }
    };
}

/// The header callbacks since ABI 0.2.0.
#[macro_export]
macro_rules! header_callbacks {
    () => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_headers(id: u32, num_headers: u32, end: u32) -> u32 {
            $crate::on_request_headers(id, num_headers, Some(end))
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_response_headers(id: u32, num_headers: u32, end: u32) -> u32 {
            $crate::on_response_headers(id, num_headers, Some(end))
        }
    };
}

/// The header callbacks of ABI 0.1.0, which are not told whether the stream ends there.
#[macro_export]
macro_rules! header_callbacks_0_1_0 {
    () => {
        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_request_headers(id: u32, num_headers: u32) -> u32 {
            $crate::on_request_headers(id, num_headers, None)
        }

        #[unsafe(no_mangle)]
        extern "C" fn proxy_on_response_headers(id: u32, num_headers: u32) -> u32 {
            $crate::on_response_headers(id, num_headers, None)
        }
    };
}
