//! The operator's configuration as plain structs: the arguments of the directives, and
//! `wasm.plugins` of APISIX's `config.yaml`.
//!
//! This room does not know nginx: a directive's handler passes its arguments and turns an [`Error`]
//! into nginx's `[emerg]` line.

use std::fmt;

pub mod config_yaml;
pub mod directory;
pub mod options;
pub mod plugin;
pub mod units;
pub mod upstream;

pub use directory::Directory;
pub use options::{FailurePolicy, ImagePolicy, Isolation, Options, Overrides, PauseScope, Resume, StartFailure};
pub use plugin::{Phase, PluginDeclaration, VmConfig};
pub use upstream::UpstreamDeclaration;

/// Why a value is refused, in words for the operator. The caller adds the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

/// The result of every parser here.
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
