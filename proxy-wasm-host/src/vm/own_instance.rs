//! The instance that a request has for itself, where a plugin's isolation is `request`.
//!
//! It has two contexts: the request's, and the plugin context that this belongs to, with the same
//! id as in the worker's instance. It is restored from an image, or started if there is none, when
//! the request first meets the plugin, and ends with the request; the next request may get what is left
//! of it ([`spares`](super::spares)). What it asks of the host while it
//! starts has no effect ([`VmState::is_rehearsal`](crate::state::VmState::is_rehearsal)): the
//! worker's instance has asked for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::images::VmImages;
use super::instance_slot::{Ending, InstanceSlot, Opened};
use super::place::Place;
use super::spares::Spares;
use super::{PluginContext, VmContext};
use crate::backoff::{GrowingDelay, unavailable};
use crate::context::LentId;
use crate::failure::Failure;
use crate::host::Host;
use crate::image::Image;

/// The index of the plugin context in such an instance.
pub(super) const OWN: usize = 0;

/// The instance of one request.
pub(super) struct OwnInstance<H: Host> {
    vm: Rc<VmContext<H>>,
    /// Shared with the call that runs: the request may end within that call.
    pub place: Rc<Place<H>>,
    lent: LentId,
}

impl<H: Host> OwnInstance<H> {
    /// Ends the request's context, and the instance with it.
    pub fn end(self, opened: Opened, plugin: &PluginContext<H>) {
        self.place.end(Ending::Http(opened));
        plugin.own().keep(&self.place);
    }
}

impl<H: Host> Drop for OwnInstance<H> {
    fn drop(&mut self) {
        let counts = self.vm.counts();
        counts.own.set(counts.own.get() - 1);
        self.vm.place.end(Ending::Lent(self.lent));
    }
}

/// What the instances of a plugin context's requests have in common.
#[derive(Default)]
pub(super) struct OwnInstances {
    /// Whether the worker's instance has configured the plugin context once.
    was_configured: Cell<bool>,
    /// The image; `None` before the first request, and while an instance starts.
    images: RefCell<Option<VmImages>>,
    /// No image is looked for before this time, because there was none.
    no_image_before: Cell<Option<Instant>>,
    /// For starts that fail.
    delay: Cell<GrowingDelay>,
}

impl OwnInstances {
    /// Keeps the instance of a request that is over for the next one, if that is possible. It is not
    /// where the request has ended within a call of the guest: the place is in use then.
    fn keep<H: Host>(&self, place: &Rc<Place<H>>) {
        if Rc::strong_count(place) > 1 {
            return;
        }
        let Ok(mut slot) = place.slot.try_borrow_mut() else { return };
        let (instance, spares, plugin) = (slot.instance.take(), Rc::clone(&slot.spares), Arc::clone(&slot.plugin));
        // The instance's host may do anything when it lets go of the request.
        drop(slot);
        if let (Some(image), Some(instance)) = (self.image(), instance) {
            spares.keep(&plugin, instance, &image);
        }
    }

    fn image(&self) -> Option<Rc<Image>> {
        self.images.borrow().as_ref().and_then(VmImages::image).cloned()
    }

    /// The instances that are kept of this image, if there are any.
    pub fn end<H: Host>(&self, spares: &Spares<H>) {
        if let Some(image) = self.image() {
            spares.forget(&image);
        }
    }
}

/// How long to start instances without looking for an image, after there was none. The look takes
/// some microseconds, and the reason seldom goes away.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl<H: Host> PluginContext<H> {
    /// Makes an instance for a request, and opens the request's context in it.
    ///
    /// # Errors
    /// Those of [`PluginContext::start`]; and when the instance does not start, or the guest does
    /// not return.
    pub(super) fn open_own<R>(
        &self,
        open: impl FnOnce(&mut InstanceSlot<H>) -> Result<(Opened, R), Failure>,
    ) -> Result<(OwnInstance<H>, Opened, R), Failure> {
        let (slot, lent) = self.vm().place.enter(|root| self.own_slot(root))?;
        let counts = self.vm().counts();
        counts.own.set(counts.own.get() + 1);
        let own = OwnInstance { vm: Rc::clone(self.vm()), place: Rc::new(Place::new(slot)), lent };
        let started = own.place.enter(|slot| {
            let started = slot.start(OWN);
            self.keep_images(slot, started.is_ok());
            started
        });
        self.note(&started);
        started?;
        // The place is kept alive by `own`, even if the request ends meanwhile.
        let (opened, result) = own.place.enter(open)?;
        Ok((own, opened, result))
    }

    /// Makes the slot for an instance of a request. The worker's instance is started before, if
    /// needed; if it cannot be, though it could once, the request does not need it.
    fn own_slot(&self, root: &mut InstanceSlot<H>) -> Result<(InstanceSlot<H>, LentId), Failure> {
        let own = self.own();
        let (index, id) = self.register(root);
        match root.start(index) {
            Ok(()) => own.was_configured.set(true),
            Err(failure @ Failure::Refused(_)) => return Err(failure),
            Err(failure) if !own.was_configured.get() => return Err(failure),
            Err(_) => {}
        }
        own.delay.get().wait(Instant::now()).map_or(Ok(()), |wait| Err(unavailable(wait)))?;
        let images = own.images.take().or_else(|| {
            // The worker's instance may be the first one, and so the one to make the image of.
            root.keep_image();
            root.images.as_ref().map(VmImages::for_request)
        });
        let lent = root.contexts().lend(index);
        let mut slot = root.of_request(id, Arc::clone(self.configuration()), lent.id);
        match own.no_image_before.get().filter(|time| Instant::now() < *time) {
            None => slot.images = images,
            Some(_) => *own.images.borrow_mut() = images,
        }
        Ok((slot, lent))
    }

    /// Takes back what is known of images, when an instance has started, or could not.
    fn keep_images(&self, slot: &mut InstanceSlot<H>, has_started: bool) {
        if has_started {
            slot.leave_start_of_request();
        }
        let own = self.own();
        if let Some(images) = slot.images.take() {
            if images.image().is_none() {
                own.no_image_before.set(Some(Instant::now() + LOOK_AGAIN));
            }
            *own.images.borrow_mut() = Some(images);
        }
    }

    fn note(&self, started: &Result<(), Failure>) {
        let own = self.own();
        let mut delay = GrowingDelay::default();
        if started.is_err() {
            delay = own.delay.get();
            delay.failed(Instant::now());
        }
        own.delay.set(delay);
    }
}
