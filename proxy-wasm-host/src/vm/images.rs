//! Keeps the image of an instance that has started, and restores instances from it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::instance_slot::{Counts, InstanceSlot};
use crate::backoff::GrowingDelay;
use crate::context::{ContextKey, Stage};
use crate::failure::CallFailed;
use crate::host::Host;
use crate::image::{self, Image, NotRestored};
use crate::instance::Instance;
use crate::limits::images::MEMORY;
use crate::plugin::ImagePolicy;
use crate::wasm::images::{Claim, Found, Images, Key};

/// The images of a VM's instances.
pub(super) struct VmImages {
    images: Arc<Images>,
    /// What images of this VM depend on besides the plugin: the embedder's own state.
    scope: Vec<u8>,
    /// The image that the next instance is restored from.
    image: Option<Rc<Image>>,
    /// The right to make the image of the instance that starts now.
    claim: Option<Claim>,
    /// How long to wait for another process that makes the image.
    pub patience: Duration,
    /// Why there is no image.
    why: Option<String>,
    /// Restoring failed for good, so it is not tried again.
    broken: bool,
    /// For restoring that fails for want of addresses or mappings. The image stays.
    lack: GrowingDelay,
}

/// The state of a VM's image, for status pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageStatus {
    /// The bytes of memory in the image; `None` if there is none.
    pub bytes: Option<usize>,
    /// The bytes of it that the instance has not written, and shares with other processes; `None` if
    /// there is no instance, or the system does not tell.
    pub shared: Option<usize>,
    /// Why there is no image.
    pub why: Option<String>,
    /// How many instances were restored.
    pub restores: u64,
}

impl VmImages {
    pub fn new(images: Arc<Images>, scope: Vec<u8>) -> Self {
        Self {
            images,
            scope,
            image: None,
            claim: None,
            patience: Duration::ZERO,
            why: None,
            broken: false,
            lack: GrowingDelay::default(),
        }
    }

    /// What the instances of a plugin context's requests begin with.
    pub fn for_request(&self) -> Self {
        Self::new(Arc::clone(&self.images), self.scope.clone())
    }

    /// The image that instances are restored from.
    pub fn image(&self) -> Option<&Rc<Image>> {
        self.image.as_ref()
    }

    pub fn status(&self) -> ImageStatus {
        let bytes = self.image.as_ref().map(|image| image.size());
        ImageStatus { bytes, shared: None, why: self.why.clone(), restores: 0 }
    }

    fn may_be_used(&self) -> bool {
        !self.broken && self.lack.wait(Instant::now()).is_none()
    }

    /// Gives up the right to make an image of an instance that has failed.
    pub fn forget_claim(&mut self) {
        self.claim = None;
    }
}

impl<H: Host> InstanceSlot<H> {
    /// The state of the image; `None` if images are not kept.
    pub(super) fn image_status(&self) -> Option<ImageStatus> {
        let images = self.images.as_ref()?;
        let shared = self.instance.as_ref().and_then(Instance::shared_memory);
        Some(ImageStatus { shared, restores: self.counts.restores.get(), ..images.status() })
    }

    /// Whether images of this VM's instances may be made, as far as is known.
    pub(super) fn wants_image(&self) -> bool {
        self.images.as_ref().is_some_and(VmImages::may_be_used)
            && self.plugin.options().image != ImagePolicy::Off
            && self.plugin.prepared().obstacle.is_none()
    }

    /// Makes an instance from an image, if there is one for the plugin contexts that there are.
    /// Otherwise prepares to make the image of an instance that starts now.
    pub(super) fn restore(&mut self) -> bool {
        if !self.wants_image() {
            return false;
        }
        let Some(image) = self.find_image() else { return false };
        let host = self.host();
        let spare = if self.idle.is_of_request() { self.spares.take(&image) } else { None };
        let restored = match spare {
            Some(spare) => image.revive(&self.plugin, spare, host, &mut self.idle),
            None => image.restore(&self.plugin, host, &mut self.idle),
        };
        match restored {
            Ok(instance) => {
                self.instance = Some(instance);
                Counts::add(&self.counts.restores);
                for imaged in image.contexts() {
                    let contexts = self.contexts();
                    if let Some(index) = contexts.plugin_of(imaged.id) {
                        let stage = if imaged.refused { Stage::Refused } else { Stage::Open };
                        contexts.set_stage(ContextKey::Plugin(index), stage);
                        if let Some(instance) = &mut self.instance {
                            instance.begins_vm(ContextKey::Plugin(index));
                        }
                        self.tell_of_plugin_context(imaged.id);
                    }
                }
                self.set_image(image);
                true
            }
            Err(NotRestored::Lack(why)) => {
                self.say_it_starts(&why);
                if let Some(images) = &mut self.images {
                    images.lack.failed(Instant::now());
                    images.image = Some(image);
                    images.why = Some(why);
                }
                false
            }
            Err(NotRestored::Stale(why)) => {
                self.say_it_starts(&why);
                self.give_up(&why);
                false
            }
            Err(NotRestored::Guest(function, failure)) => {
                let name = self.plugin.name();
                error!("{}", CallFailed { plugin: name, function, context: 0, failure: &failure });
                Counts::add(&self.counts.failures);
                self.give_up(&failure.to_string());
                false
            }
        }
    }

    fn say_it_starts(&self, why: &str) {
        info!("plugin \"{}\" is not restored from its image, and starts: {why}", self.plugin.name());
    }

    fn find_image(&mut self) -> Option<Rc<Image>> {
        let known = self.images.as_ref()?.image.clone();
        // All instances of a plugin context's requests have this one configuration.
        let known = known.filter(|image| self.idle.is_of_request() || image.fits(&self.idle));
        if known.is_some() {
            return known;
        }
        let key = self.image_key();
        let plugin = Arc::clone(&self.plugin);
        let images = self.images.as_mut()?;
        let found = match images.images.wait_for(&key, images.patience) {
            // Others wait for it, so only a process that makes the image at once takes the right now.
            Found::Nothing if !images.patience.is_zero() => {
                images.claim = images.images.claim(&key);
                // Another process has taken it meanwhile.
                if images.claim.is_none() { images.images.wait_for(&key, images.patience) } else { Found::Nothing }
            }
            found => found,
        };
        match found {
            Found::Image(file) => Image::read(file, plugin.prepared()).filter(|image| image.fits(&self.idle)),
            Found::Nothing | Found::Busy | Found::Refused => None,
        }
    }

    fn image_key(&mut self) -> Key {
        let contexts = self.contexts().registered();
        let scope = self.images.as_ref().map_or(&[][..], |images| &images.scope);
        image::key(&self.plugin, scope, &contexts)
    }

    /// Makes the image of the running instance, if it has run nothing but its start. The instance
    /// will run callbacks from now on.
    #[cold]
    pub(super) fn leave_start(&mut self) {
        self.keep_image();
        if let Some(instance) = &mut self.instance {
            instance.is_fresh = false;
            instance.store.data_mut().journal = None;
        }
    }

    /// As [`Self::leave_start`], for the instance of a request. One that was restored has an image.
    pub(super) fn leave_start_of_request(&mut self) {
        if let Some(instance) = &mut self.instance
            && instance.pages.is_some()
        {
            instance.is_fresh = false;
        } else {
            self.leave_start();
        }
    }

    /// Makes the image of the running instance, if it has run nothing but its start.
    pub(super) fn keep_image(&mut self) {
        let is_fresh = self.instance.as_ref().is_some_and(|instance| instance.is_fresh);
        if !is_fresh {
            return;
        }
        if !self.wants_image() {
            return self.say_why_not();
        }
        let contexts = self.contexts().imaged();
        let known = self.images.as_ref().and_then(|images| images.image.as_ref());
        if contexts.is_empty() || known.is_some_and(|image| image.contexts() == contexts) {
            return;
        }
        let key = self.image_key();
        let allows_random = self.plugin.options().image == ImagePolicy::On;
        let (Some(images), Some(instance)) = (&mut self.images, &mut self.instance) else { return };
        let claim = images.claim.take();
        let is_too_large = instance.memory_size() > MEMORY;
        let obstacle = is_too_large.then_some("its memory is larger than 256 MB");
        if let Some(obstacle) = obstacle.or(instance.store.data().image_obstacle(allows_random)) {
            if let Some(claim) = claim {
                claim.refuse();
            }
            return self.explain(obstacle);
        }
        let claim = claim.filter(|claim| *claim.key() == key).or_else(|| images.images.claim(&key));
        let Some(claim) = claim else {
            return self.explain("another worker makes it, or there are too many images");
        };
        match Image::make(instance, self.plugin.prepared(), contexts, claim) {
            Ok(image) => {
                let (name, size) = (self.plugin.name(), image.size());
                info!("plugin \"{name}\" is kept as an image of {size} bytes");
                self.set_image(image);
            }
            Err(why) => self.explain(&why),
        }
    }

    /// Lets an instance that was restored configure further plugin contexts, so that its next image
    /// has them, too.
    pub(super) fn continue_journal(&mut self) {
        let (Some(images), Some(instance)) = (&self.images, &mut self.instance) else { return };
        if let Some(image) = &images.image
            && instance.is_fresh
            && instance.store.data().journal.is_none()
        {
            instance.store.data_mut().journal = Some(Box::new(image.journal()));
        }
    }

    fn set_image(&mut self, image: Rc<Image>) {
        if let Some(images) = &mut self.images {
            images.image = Some(image);
            images.why = None;
            images.lack = GrowingDelay::default();
        }
    }

    /// Starts instances from now on: no other can be restored.
    fn give_up(&mut self, why: &str) {
        if let Some(images) = &mut self.images {
            if let Some(image) = images.image.take() {
                self.spares.forget(&image);
            }
            images.broken = true;
            images.why = Some(why.to_owned());
        }
    }

    fn say_why_not(&mut self) {
        if self.plugin.options().image != ImagePolicy::Off
            && let Some(obstacle) = self.plugin.prepared().obstacle.clone()
        {
            self.explain(&obstacle);
        }
    }

    /// Logs why there is no image, once for each reason.
    fn explain(&mut self, why: &str) {
        let Some(images) = &mut self.images else { return };
        if images.why.as_deref() != Some(why) {
            info!("plugin \"{}\" is not kept as an image: {why}", self.plugin.name());
            images.why = Some(why.to_owned());
        }
    }
}
