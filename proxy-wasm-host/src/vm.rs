//! The contexts as a host drives them.
//!
//! A [`VmContext`] is one plugin in one worker, with at most one running instance of it. A [`PluginContext`] is one of its
//! configurations, an [`HttpContext`] one request that this configuration applies to. Each lives as long as its owner holds it
//! and keeps what it belongs to alive.
//!
//! An instance that fails is thrown away with every HttpContext in it: these answer [`Failure::Gone`] from then on. The next
//! request gets a fresh one. PluginContexts outlive it, and are created and configured again, each when it is next needed.
//!
//! A host function may lead back here, say by ending a request. It then finds the VM taken: callbacks answer
//! [`Failure::Reentrant`], and what ends meanwhile is ended when the guest has returned.

mod http_context;
mod machine;
mod plugin_context;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::info;

pub use http_context::HttpContext;
pub use plugin_context::PluginContext;

use self::machine::{Ending, Machine};
use super::failure::{Failure, Told};
use super::host::Host;
use super::plugin::Plugin;

/// One plugin in one worker.
pub struct VmContext<H: Host> {
    plugin: Arc<Plugin<H>>,
    machine: RefCell<Machine<H>>,
    /// Contexts whose owner let go of them while the guest was running.
    endings: RefCell<Vec<Ending>>,
    any_endings: Cell<bool>,
    told: Told,
}

/// How a VM is, for status pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmStatus {
    /// There is an instance.
    pub running: bool,
    /// How long no instance will be started, after several that failed.
    pub retry_in: Option<Duration>,
    /// Instances that failed, or failed to start.
    pub failures: u64,
    /// Instances that were started.
    pub starts: u64,
    /// Bytes of linear memory of the running instance.
    pub memory_size: usize,
    /// PluginContexts.
    pub plugin_contexts: usize,
    /// HttpContexts.
    pub http_contexts: usize,
}

impl<H: Host> VmContext<H> {
    /// A VM that starts when it is first needed. Each instance gets a host of its own from `make_host`; when an instance fails
    /// its host is dropped, and with it should go what the instance has under way: ticks, calls, queues.
    pub fn new(plugin: Arc<Plugin<H>>, make_host: Box<dyn Fn() -> H>) -> Rc<Self> {
        info!("loaded wasm plugin");
        Rc::new(Self {
            machine: RefCell::new(Machine::new(Arc::clone(&plugin), make_host)),
            plugin,
            endings: RefCell::default(),
            any_endings: Cell::new(false),
            told: Told::default(),
        })
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin<H>> {
        &self.plugin
    }

    /// One configuration of the plugin. It gets its id when it is first started.
    pub fn plugin_context(self: &Rc<Self>, configuration: Arc<[u8]>) -> Rc<PluginContext<H>> {
        Rc::new(PluginContext::new(Rc::clone(self), Arc::clone(&self.plugin), configuration))
    }

    /// Whether a failure is worth an error line: the first of those that come of one cause.
    pub fn is_news(&self, failure: &Failure) -> bool {
        !failure.is_reported() && self.told.again(Instant::now())
    }

    /// How it is now; `None` while its guest is running.
    pub fn status(&self) -> Option<VmStatus> {
        Some(self.machine.try_borrow_mut().ok()?.status())
    }

    /// Runs something that may call the guest, and then what became due while it ran.
    #[inline]
    fn enter<R>(&self, run: impl FnOnce(&mut Machine<H>) -> Result<R, Failure>) -> Result<R, Failure> {
        let mut machine = self.machine.try_borrow_mut().map_err(|_| Failure::Reentrant)?;
        let result = run(&mut machine);
        self.settle(&mut machine);
        result
    }

    /// Ends a context that its owner let go of, now or when the guest has returned.
    fn end(&self, ending: Ending) {
        let Ok(mut machine) = self.machine.try_borrow_mut() else {
            self.endings.borrow_mut().push(ending);
            return self.any_endings.set(true);
        };
        machine.end(ending);
        self.settle(&mut machine);
    }

    /// Does what became due while the guest ran.
    #[inline]
    fn settle(&self, machine: &mut Machine<H>) {
        if self.any_endings.get() || machine.any_ended() {
            self.settle_all(machine);
        }
    }

    #[cold]
    fn settle_all(&self, machine: &mut Machine<H>) {
        loop {
            machine.delete_ended();
            // Not borrowed while the guest runs: it may let go of the next one.
            let ending = self.endings.borrow_mut().pop();
            match ending {
                Some(ending) => machine.end(ending),
                None if machine.any_ended() => {}
                None => break,
            }
        }
        self.any_endings.set(false);
    }
}

impl<H: Host> Drop for VmContext<H> {
    fn drop(&mut self) {
        self.machine.get_mut().end_all();
        info!("unloaded wasm plugin");
    }
}
