//! Where a module has what this host uses of its instances: found once, so that no instance that is
//! restored has to look up a name.

use wasmtime::{Instance, Memory, Module, ModuleExport, Store};

use super::callbacks::{self, Places};

/// The function that a plugin may export to be called in each instance that is restored.
pub(crate) const ON_RESTORED: &str = "proxy_wasm_on_restored";

/// Where a module has what this host uses of its instances.
pub(crate) struct ExportPlaces {
    pub memory: Option<ModuleExport>,
    pub allocate: Option<ModuleExport>,
    pub on_restored: Option<ModuleExport>,
    pub callbacks: Places,
}

impl ExportPlaces {
    pub fn of(module: &Module) -> Self {
        let allocates = |name: &&str| callbacks::is_function(module, name, (1, 1));
        let allocator = ["proxy_on_memory_allocate", "malloc"].into_iter().find(allocates);
        Self {
            memory: module.get_export_index("memory"),
            allocate: allocator.and_then(|name| module.get_export_index(name)),
            on_restored: module.get_export_index(ON_RESTORED),
            callbacks: Places::of(module),
        }
    }

    /// The memory of an instance.
    pub fn memory<T>(&self, handle: &Instance, store: &mut Store<T>) -> Option<Memory> {
        handle.get_module_export(store, &self.memory?)?.into_memory()
    }
}
