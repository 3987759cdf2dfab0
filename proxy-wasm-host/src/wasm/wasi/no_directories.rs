//! In place of `directories`, where this crate is built without files: there are none.

use std::sync::Arc;

use wasmtime::Linker;

use super::{Access, WasiHost};
use crate::config::Directory;

/// The directories of an instance, which has none.
pub enum Directories {}

impl Directories {
    pub fn new(_: &Arc<[Directory]>, _: Access) -> Option<Self> {
        None
    }

    pub fn obstacle(&self) -> Option<&'static str> {
        match *self {}
    }

    pub fn close(&mut self) {
        match *self {}
    }
}

/// Defines functions for a guest with directories.
///
/// # Errors
/// Always: this crate was built without files.
pub fn add_directories_to_linker<T: WasiHost>(_: &mut Linker<T>) -> wasmtime::Result<()> {
    Err(wasmtime::Error::msg("this host was built without files"))
}
