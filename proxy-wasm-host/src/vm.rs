//! The contexts as a host uses them.
//!
//! A [`VmContext`] is one plugin in one worker, with one running instance of it at most. A
//! [`PluginContext`] is one configuration of the plugin, and an [`HttpContext`] is one request that
//! this configuration applies to. A context lives as long as its owner holds it, and keeps the
//! context above it alive.
//!
//! Where a plugin's isolation is `request`, the instance of the VM has the PluginContexts, and each
//! HttpContext lives in an instance of its own.
//!
//! An instance that fails is thrown away with every HttpContext in it: those return
//! [`Failure::Gone`] from then on. The next request gets a fresh instance. PluginContexts outlive
//! the instance; each is created and configured again when it is next needed.
//!
//! A host function may lead back here, for example by ending a request. The VM is then borrowed
//! already: callbacks return [`Failure::Reentrant`], and contexts that end meanwhile are ended when
//! the guest has returned.

mod http_context;
mod images;
mod instance_slot;
mod own_instance;
mod place;
mod plugin_context;
mod spares;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::info;

pub use http_context::HttpContext;
pub use images::ImageStatus;
pub use plugin_context::PluginContext;

use self::images::VmImages;
use self::instance_slot::{Counts, Ending, InstanceSlot};
use self::place::Place;
use self::spares::Spares;
use super::failure::{Culprit, Failure, Told};
use super::host::Host;
use super::plugin::Plugin;
use crate::wasm::images::Images;

/// One plugin in one worker, or several of the same module that share an instance.
pub struct VmContext<H: Host> {
    plugin: Arc<Plugin<H>>,
    /// The place of the instance that the worker's requests share, or, where each request has its
    /// own, of the one that has the plugin contexts.
    place: Place<H>,
    counts: Rc<Counts>,
    spares: Rc<Spares<H>>,
    told: Told,
    /// Who ended the last instance that failed. Shared with the slot, which is borrowed while the
    /// requests that lived there learn of it.
    culprit: Rc<Cell<Option<Culprit>>>,
    /// Dropped when all contexts have ended.
    _announced: Announced,
}

/// A plugin that the log has as loaded. Dropping it logs that it is unloaded.
#[derive(Debug)]
pub struct Announced(());

impl Announced {
    /// Logs that a plugin is loaded.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        info!("loaded wasm plugin");
        Self(())
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        info!("unloaded wasm plugin");
    }
}

/// The state of a VM, for status pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmStatus {
    /// Whether there is an instance.
    pub running: bool,
    /// How long no instance will be started, after one failed.
    pub retry_in: Option<Duration>,
    /// How many instances failed, or failed to start.
    pub failures: u64,
    /// How many instances were started.
    pub starts: u64,
    /// The linear memory of the running instance, in bytes.
    pub memory_size: usize,
    /// The number of PluginContexts.
    pub plugin_contexts: usize,
    /// The number of HttpContexts.
    pub http_contexts: usize,
    /// The number of instances: the worker's, and those of single requests.
    pub instances: usize,
    /// The number of instances that requests have left, and that wait for the next ones.
    pub spare_instances: usize,
}

impl<H: Host> VmContext<H> {
    /// Makes a VM that starts when it is first needed. Each instance gets its own host from
    /// `make_host`. When an instance fails, its host is dropped, and must take with it what the
    /// instance has started: ticks, calls, queues.
    pub fn new(plugin: Arc<Plugin<H>>, make_host: Box<dyn Fn() -> H>) -> Rc<Self> {
        Self::of_announced(plugin, make_host, Announced::new())
    }

    /// Makes a VM of a plugin that was announced before its module was there.
    pub fn of_announced(plugin: Arc<Plugin<H>>, make_host: Box<dyn Fn() -> H>, announced: Announced) -> Rc<Self> {
        let culprit = Rc::<Cell<_>>::default();
        let counts = Rc::<Counts>::default();
        let slot = InstanceSlot::new(Arc::clone(&plugin), Rc::from(make_host), Rc::clone(&culprit), Rc::clone(&counts));
        let spares = Rc::clone(&slot.spares);
        Rc::new(Self {
            place: Place::new(slot),
            plugin,
            counts,
            spares,
            told: Told::default(),
            culprit,
            _announced: announced,
        })
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin<H>> {
        &self.plugin
    }

    /// Keeps instances that have started as images, and restores others from them. `scope` is what
    /// images depend on besides the plugin and its configurations.
    pub fn keep_images(&self, images: Arc<Images>, scope: Vec<u8>) {
        if let Ok(mut slot) = self.place.slot.try_borrow_mut() {
            slot.images = Some(VmImages::new(images, scope));
        }
    }

    /// How long a start waits for another process that makes the image. Only a process that serves
    /// nobody meanwhile should wait.
    pub fn wait_for_images(&self, patience: Duration) {
        if let Ok(mut slot) = self.place.slot.try_borrow_mut()
            && let Some(images) = &mut slot.images
        {
            images.patience = patience;
        }
    }

    /// Makes the image now, of an instance whose plugin contexts have all been started. Otherwise
    /// it is made before the first request.
    pub fn keep_image(&self) {
        if let Ok(mut slot) = self.place.slot.try_borrow_mut() {
            slot.keep_image();
        }
    }

    /// Ends the running instance, and with it the HttpContexts in it. The next one is restored from
    /// the image, or starts, when it is needed.
    pub fn renew(&self) {
        if let Ok(mut slot) = self.place.slot.try_borrow_mut() {
            slot.renew();
        }
    }

    /// The state of the image; `None` if images are not kept, or while the guest is running.
    pub fn image_status(&self) -> Option<ImageStatus> {
        self.place.slot.try_borrow().ok()?.image_status()
    }

    /// Makes a context for one configuration of the plugin. The context gets its id when it is
    /// first started.
    pub fn plugin_context(self: &Rc<Self>, configuration: Arc<[u8]>) -> Rc<PluginContext<H>> {
        self.plugin_context_of(Arc::clone(&self.plugin), configuration)
    }

    /// Does the same as [`Self::plugin_context`] for one of several plugins that share the VM. They
    /// have the VM's module and options.
    pub fn plugin_context_of(
        self: &Rc<Self>,
        plugin: Arc<Plugin<H>>,
        configuration: Arc<[u8]>,
    ) -> Rc<PluginContext<H>> {
        Rc::new(PluginContext::new(Rc::clone(self), plugin, configuration))
    }

    /// Returns whether to write an error line about a failure: not if its cause has been logged
    /// already.
    pub fn is_news(&self, failure: &Failure) -> bool {
        !failure.is_reported() && self.told.again(Instant::now())
    }

    /// The call that ended the last instance that failed.
    pub fn culprit(&self) -> Option<Culprit> {
        self.culprit.get()
    }

    /// The state of the VM now; `None` while its guest is running.
    pub fn status(&self) -> Option<VmStatus> {
        Some(self.place.slot.try_borrow_mut().ok()?.status())
    }

    /// Runs a function that may call the guest, and then the work that became due meanwhile.
    #[inline]
    fn enter<R>(&self, run: impl FnOnce(&mut InstanceSlot<H>) -> Result<R, Failure>) -> Result<R, Failure> {
        self.place.enter(run)
    }

    /// Ends a context that its owner dropped: now, or when the guest has returned.
    #[inline(always)]
    fn end(&self, ending: Ending) {
        self.place.end(ending);
    }

    /// Drops the instances that wait for requests.
    #[cfg(test)]
    fn drop_spares(&self) {
        self.spares.drop_all();
    }

    fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl<H: Host> Drop for VmContext<H> {
    fn drop(&mut self) {
        self.place.slot.get_mut().end_all();
    }
}
