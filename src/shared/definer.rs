//! A VM's part in what metrics the running configuration has:
//! [`proxy_wasm_host::shared::metrics::Definer`].

use std::cell::OnceCell;
use std::rc::Rc;

use ngx_bindings::cycle;
use proxy_wasm_host::shared::metrics::Definer;

use super::Shared;

/// Counts a VM among those that define metrics, as long as this value lives.
pub struct VmDefiner {
    shared: Rc<Shared>,
    scope: String,
    version: Vec<u8>,
    /// `None` in it where the zone has no room.
    joined: OnceCell<Option<Definer>>,
}

impl VmDefiner {
    /// Makes that of a VM. The scope is that of its metrics; the version tells it from other VMs of
    /// the scope.
    pub fn new(shared: &Rc<Shared>, scope: &str, version: Vec<u8>) -> Rc<Self> {
        let definer = Self { shared: Rc::clone(shared), scope: scope.to_owned(), version, joined: OnceCell::new() };
        // What earlier VMs of this version have defined is to stay, before this one defines anything.
        definer.get();
        Rc::new(definer)
    }

    /// The zones of the VM.
    pub fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Returns the definer, which is counted once in each process that serves. `None` in a process
    /// that does not, or where the zone has no room.
    pub fn get(&self) -> Option<&Definer> {
        if !cycle::serves() {
            return None;
        }
        let metrics = &self.shared.stores()?.metrics;
        self.joined.get_or_init(|| metrics.join(self.scope.as_bytes(), &self.version).ok()).as_ref()
    }
}

impl Drop for VmDefiner {
    fn drop(&mut self) {
        let joined = self.joined.get().and_then(Option::as_ref);
        if let Some((definer, stores)) = joined.zip(self.shared.stores()) {
            stores.metrics.leave(definer);
        }
    }
}
