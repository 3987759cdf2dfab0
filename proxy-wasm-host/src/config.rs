//! What operators write, as plain structs: the arguments of our directives and `wasm.plugins` of APISIX's
//! `config.yaml`.
//!
//! Nothing of nginx is named here: a directive's handler gives its arguments and turns an [`Error`] into nginx's
//! `[emerg]` line.

use std::fmt;

pub mod config_yaml;
pub mod options;
pub mod plugin;
pub mod units;

pub use options::{FailurePolicy, Options, Overrides};
pub use plugin::{Phase, PluginDeclaration};

/// Why something is refused, in words for the operator. Where it stands is the caller's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

/// The answer of every parser here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
