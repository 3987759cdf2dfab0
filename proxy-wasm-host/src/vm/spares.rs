//! Instances that requests have left, for the next requests.
//!
//! Most of what a restored instance costs is in the kernel: its memory is mapped, and each page that
//! the request writes is copied. So when a request is over, its instance is not dropped at once. The
//! pages that it has written are written over from the image ([`Image::reset`]), and a later request
//! of the same image gets the instance ([`Image::revive`]). Only memory, globals and what wasmtime
//! has of the instance are used again; state, host and contexts are made anew.
//!
//! An instance that failed is never here, nor one whose memory has grown, nor one that has written much more than
//! requests of the plugin usually do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::host::Host;
use crate::image::Image;
use crate::instance::Instance;
use crate::limits::images::{SPARES, SPARES_MEMORY};
use crate::plugin::Plugin;

/// The instances of a VM that wait for a request.
pub(super) struct Spares<H: Host> {
    /// The one that was left first is in front.
    list: RefCell<VecDeque<Spare<H>>>,
    /// Bytes of memory that they have for themselves.
    memory: Cell<usize>,
}

struct Spare<H: Host> {
    instance: Instance<H>,
    image: Rc<Image>,
    memory: usize,
}

impl<H: Host> Default for Spares<H> {
    fn default() -> Self {
        Self { list: RefCell::default(), memory: Cell::default() }
    }
}

impl<H: Host> Spares<H> {
    /// The number of instances.
    pub fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Keeps an instance whose request is over, if it can be made as it was restored.
    pub fn keep(&self, plugin: &Plugin<H>, mut instance: Instance<H>, image: &Rc<Image>) {
        let Some(memory) = image.reset(plugin, &mut instance) else { return };
        instance.store.data_mut().rest();
        self.memory.set(self.memory.get() + memory);
        self.list.borrow_mut().push_back(Spare { instance, image: Rc::clone(image), memory });
        while self.len() > SPARES || self.memory.get() > SPARES_MEMORY {
            // Dropped after the list was given back: the host of an instance may do anything then.
            let oldest = self.list.borrow_mut().pop_front();
            match oldest {
                Some(oldest) => self.memory.set(self.memory.get() - oldest.memory),
                None => break,
            }
        }
    }

    /// Takes an instance of that image: the one that was left last, whose memory is still in the
    /// processor's cache.
    pub fn take(&self, image: &Rc<Image>) -> Option<Instance<H>> {
        let mut list = self.list.borrow_mut();
        let index = list.iter().rposition(|spare| Rc::ptr_eq(&spare.image, image))?;
        let spare = list.remove(index)?;
        self.memory.set(self.memory.get() - spare.memory);
        Some(spare.instance)
    }

    /// Drops the instances of an image.
    pub fn forget(&self, image: &Rc<Image>) {
        while let Some(instance) = self.take(image) {
            drop(instance);
        }
    }

    #[cfg(test)]
    pub fn drop_all(&self) {
        self.list.borrow_mut().clear();
        self.memory.set(0);
    }
}
