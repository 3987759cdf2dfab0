//! An image of an instance that has started: its memory, its globals, its plugin contexts, and what
//! it asked of the host. An instance that is restored from it has not run any of its code.
//!
//! The image's memory is in the file of [`images`](crate::wasm::images), which workers share.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use prost::Message;
use serde::{Deserialize, Serialize};
use wasmtime::{Memory, Store, V128, Val};

use crate::abi::MetricType;
use crate::context::Contexts;
use crate::failure::Failure;
use crate::host::{Host, Stream};
use crate::identity::Configuration;
use crate::instance::{self, Exports, Instance, on_restored};
use crate::journal::{Asked, ImagedContext, Journal};
use crate::limits::images::{SPARE_MEMORY, SPARE_SLACK};
use crate::plugin::Plugin;
use crate::state::VmState;
use crate::wasm::images::{Claim, ImageFile, extents, reason};
use crate::wasm::prepare::Prepared;
use crate::wasm::wasi;

/// Bytes of a page of linear memory.
const WASM_PAGE: usize = 64 << 10;

/// Asks the host for the same again. Returns whether the guest would get the same answer.
fn ask_again<H: Host>(asked: &Asked, state: &mut VmState<H>) -> bool {
    let (is_rehearsal, of_request) = (state.is_rehearsal(), state.contexts.is_of_request());
    let (host, vm_id) = (&mut state.host, state.plugin.vm_id.as_bytes());
    match asked {
        Asked::TickPeriod { .. } | Asked::RecordMetric { .. } | Asked::IncrementMetric { .. } if is_rehearsal => true,
        Asked::TickPeriod { plugin_context, period } => host.set_tick_period(*plugin_context, *period).is_ok(),
        Asked::RegisterQueue { plugin_context, name, id } => {
            host.register_queue((!of_request).then_some(*plugin_context), vm_id, name) == Ok(*id)
        }
        Asked::ResolveQueue { vm_id, name, id } => host.resolve_queue(vm_id, name) == Ok(*id),
        Asked::DefineMetric { kind, name, id } => {
            MetricType::try_from(*kind).is_ok_and(|kind| host.define_metric(kind, name) == Ok(*id))
        }
        Asked::RecordMetric { id, value } => host.record_metric(*id, *value).is_ok(),
        Asked::IncrementMetric { id, offset } => host.increment_metric(*id, *offset).is_ok(),
        Asked::LogLevel { level } => host.log_level(None) as i32 == *level,
    }
}

/// The value of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Value {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u64, u64),
}

impl Value {
    fn of(value: &Val) -> Option<Self> {
        Some(match value {
            Val::I32(value) => Self::I32(*value),
            Val::I64(value) => Self::I64(*value),
            Val::F32(bits) => Self::F32(*bits),
            Val::F64(bits) => Self::F64(*bits),
            Val::V128(value) => Self::V128((value.as_u128() >> 64) as u64, value.as_u128() as u64),
            _ => return None,
        })
    }

    fn value(self) -> Val {
        match self {
            Self::I32(value) => Val::I32(value),
            Self::I64(value) => Val::I64(value),
            Self::F32(bits) => Val::F32(bits),
            Self::F64(bits) => Val::F64(bits),
            Self::V128(high, low) => Val::V128(V128::from(u128::from(high) << 64 | u128::from(low))),
        }
    }
}

/// All of an image but its memory.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    globals: Vec<Value>,
    contexts: Vec<ImagedContext>,
    asked: Vec<Asked>,
    extents: Vec<Range<usize>>,
}

/// Why an instance was not restored.
pub(crate) enum NotRestored {
    /// The process has no addresses or mappings left for it; it may have some later.
    Lack(String),
    /// The image is not of what there is now.
    Stale(String),
    /// This function of the guest failed.
    Guest(&'static str, Failure),
}

/// An image, as this process knows it.
#[derive(Debug)]
pub(crate) struct Image {
    /// Shared with the instances whose memory consists of its pages.
    file: Rc<ImageFile>,
    meta: Meta,
    /// For each plugin context, the configuration that was last found to be the one it has.
    configurations: RefCell<Vec<Option<Arc<Configuration>>>>,
    /// Whether this process has defined the metrics. They stay defined.
    has_metrics: Cell<bool>,
    written: Written,
}

/// How many bytes of memory a request usually writes. An instance that is used again has the pages of
/// all its requests, and each time all of them are written over. A page that is copied when it is
/// written costs several times as much, so this is worth it until there are several times as many.
#[derive(Debug, Default)]
struct Written(Cell<Option<usize>>);

impl Written {
    /// How many bytes an instance may have written.
    fn limit(&self) -> usize {
        let several_times = |usual: usize| usual.saturating_mul(4).saturating_add(SPARE_SLACK);
        self.0.get().map_or(SPARE_MEMORY, |usual| several_times(usual).min(SPARE_MEMORY))
    }

    /// Notes what one request has written. One that writes very much counts for little.
    fn note(&self, size: usize) {
        let usual = self.0.get().map_or(size, |usual| (7 * usual + size.min(self.limit())) / 8);
        self.0.set(Some(usual));
    }
}

impl Image {
    fn new(file: ImageFile, meta: Meta) -> Rc<Self> {
        let configurations = RefCell::new(vec![None; meta.contexts.len()]);
        Rc::new(Self {
            file: Rc::new(file),
            meta,
            configurations,
            has_metrics: Cell::default(),
            written: Written::default(),
        })
    }

    /// Reads an image that another process made. Returns `None` for one that cannot be of this
    /// plugin.
    pub fn read(file: ImageFile, exports: &Prepared) -> Option<Rc<Self>> {
        let meta: Meta = serde_json::from_slice(&file.meta().ok()?).ok()?;
        let size = file.memory_size();
        let inside = |extent: &Range<usize>| extent.start <= extent.end && extent.end <= size;
        let in_order = meta.extents.is_sorted_by(|first, second| first.end <= second.start);
        let valid = meta.globals.len() == exports.globals.len() && meta.extents.iter().all(inside) && in_order;
        valid.then(|| Self::new(file, meta))
    }

    /// Makes the image of an instance, which goes on with the image's memory.
    ///
    /// # Errors
    /// Why there can be none, in words for an operator.
    pub fn make<H: Host>(
        instance: &mut Instance<H>,
        exports: &Prepared,
        contexts: Vec<ImagedContext>,
        claim: Claim,
    ) -> Result<Rc<Self>, String> {
        let memory = instance.memory().ok_or("it has no memory")?;
        let globals = exports.globals.iter().map(|global| {
            let global = instance.handle.get_module_export(&mut instance.store, global)?.into_global()?;
            Value::of(&global.get(&mut instance.store))
        });
        let globals = globals.collect::<Option<Vec<_>>>().ok_or("a global of it cannot be read")?;
        let asked = instance.store.data_mut().journal.take().map(|journal| journal.asked()).unwrap_or_default();
        let bytes = memory.data(&instance.store);
        // What an instance that was restored has not written since is still in its image.
        let pages = instance.pages.as_ref().map_or(&[][..], |pages| pages.mapped());
        let extents = extents(bytes, &[&exports.filled, pages].concat());
        let meta = Meta { globals, contexts, asked, extents };
        let written =
            serde_json::to_vec(&meta).map_err(io::Error::from).and_then(|text| claim.fill(bytes, &meta.extents, &text));
        let file = written.map_err(|error| reason(&error))?;
        let image = Self::new(file, meta);
        // From now on this instance shares the image's pages, too. If it cannot, it keeps its own.
        if image.map_over(&mut instance.store, memory).is_ok() {
            instance.pages = Some(Rc::clone(&image.file));
        }
        Ok(image)
    }

    /// The journal of an instance that was restored, and asks for more.
    pub fn journal(&self) -> Journal {
        Journal::of(self.meta.asked.clone())
    }

    /// The plugin contexts in the image.
    pub fn contexts(&self) -> &[ImagedContext] {
        &self.meta.contexts
    }

    /// Whether each plugin context of the image is one that there is, with that configuration.
    pub fn fits<S: Stream>(&self, contexts: &Contexts<S>) -> bool {
        let mut configurations = self.configurations.borrow_mut();
        self.meta.contexts.iter().zip(&mut *configurations).all(|(imaged, known)| {
            let Some(index) = contexts.plugin_of(imaged.id) else { return false };
            let configuration = contexts.configuration(index);
            if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, configuration)) {
                return true;
            }
            let fits = *imaged == ImagedContext::new(imaged.id, configuration, imaged.refused);
            *known = fits.then(|| Arc::clone(configuration));
            fits
        })
    }

    /// The bytes of memory that are kept.
    pub fn size(&self) -> usize {
        self.meta.extents.iter().map(ExactSizeIterator::len).sum()
    }

    fn map_over<T>(&self, store: &mut Store<T>, memory: Memory) -> io::Result<()> {
        self.file.map_over(store, memory, &self.meta.extents)
    }

    /// Makes an instance from the image. The contexts move into it; if it cannot be made, they stay
    /// where they are.
    pub fn restore<H: Host>(
        &self,
        plugin: &Plugin<H>,
        host: H,
        contexts: &mut Contexts<H::Stream>,
    ) -> Result<Instance<H>, NotRestored> {
        let mut store = plugin.store(host, mem::take(contexts));
        match self.restore_in(plugin, &mut store) {
            Ok(exports) => Ok(Instance::restored(plugin, store, exports, Rc::clone(&self.file))),
            Err(failed) => {
                *contexts = store.into_data().contexts;
                Err(failed)
            }
        }
    }

    fn restore_in<H: Host>(&self, plugin: &Plugin<H>, store: &mut Store<VmState<H>>) -> Result<Exports, NotRestored> {
        let lack = |error: wasmtime::Error| NotRestored::Lack(format!("{error:#}"));
        let stale = |why: &str| NotRestored::Stale(why.to_owned());
        let exports = plugin.prepared();
        let handle = plugin.instance_pre().instantiate(&mut *store).map_err(lack)?;
        let memory = plugin.places().memory(&handle, store).ok_or_else(|| stale("it has no memory"))?;
        let missing = self.file.memory_size().saturating_sub(memory.data_size(&*store));
        if missing > 0 {
            memory.grow(&mut *store, (missing / WASM_PAGE) as u64).map_err(lack)?;
        }
        self.map_over(store, memory).map_err(|error| NotRestored::Lack(error.to_string()))?;
        self.set_globals(exports, &handle, store).ok_or_else(|| stale("a global of it cannot be set"))?;
        let found = instance::exports(plugin, handle, memory, store);
        self.introduce(plugin, &handle, store)?;
        Ok(found)
    }

    fn set_globals<T>(&self, exports: &Prepared, handle: &wasmtime::Instance, store: &mut Store<T>) -> Option<()> {
        exports.globals.iter().zip(&self.meta.globals).try_for_each(|(export, value)| {
            let global = handle.get_module_export(&mut *store, export)?.into_global()?;
            global.set(&mut *store, value.value()).ok()
        })
    }

    /// Asks the host for what the guest has asked for when it started, and tells the guest.
    fn introduce<H: Host>(
        &self,
        plugin: &Plugin<H>,
        handle: &wasmtime::Instance,
        store: &mut Store<VmState<H>>,
    ) -> Result<(), NotRestored> {
        let state = store.data_mut();
        state.host.instance_restored();
        let mut again = self.meta.asked.iter().filter(|asked| !(self.has_metrics.get() && asked.is_definition()));
        if let Some(asked) = again.find(|asked| !ask_again(asked, state)) {
            return Err(NotRestored::Stale(format!("the host answers otherwise now: {asked:?}")));
        }
        self.has_metrics.set(true);
        on_restored(handle, plugin, store).map_err(|(function, failure)| NotRestored::Guest(function, failure))
    }

    /// Makes an instance that was restored from this image as it was then, if it has done no more
    /// than run callbacks: its memory and its globals. The module's code changes neither tables nor
    /// segments, or there would be no image. Returns how many bytes of memory the instance has for
    /// itself; `None` if it cannot be done, or would take longer than to restore another one.
    pub fn reset<H: Host>(&self, plugin: &Plugin<H>, instance: &mut Instance<H>) -> Option<usize> {
        let is_mine = instance.pages.as_ref().is_some_and(|pages| Rc::ptr_eq(pages, &self.file));
        if !instance.was_restored || !is_mine || instance.memory_size() != self.file.memory_size() {
            return None;
        }
        let (memory, limit) = (instance.memory()?, self.written.limit());
        let size = self.file.write_over(&mut instance.store, memory, &self.meta.extents, limit).ok()?;
        if !mem::replace(&mut instance.was_reset, true) {
            self.written.note(size);
        }
        if size > limit {
            return None;
        }
        self.set_globals(plugin.prepared(), &instance.handle, &mut instance.store)?;
        Some(size)
    }

    /// Gives an instance that was [reset](Self::reset) to another request, as [`Self::restore`] makes
    /// one.
    pub fn revive<H: Host>(
        &self,
        plugin: &Plugin<H>,
        mut instance: Instance<H>,
        host: H,
        contexts: &mut Contexts<H::Stream>,
    ) -> Result<Instance<H>, NotRestored> {
        plugin.renew(&mut instance.store, host, mem::take(contexts));
        let introduced = self.introduce(plugin, &instance.handle, &mut instance.store);
        wasi::flush(instance.store.data_mut());
        match introduced {
            Ok(()) => {
                instance.is_fresh = true;
                Ok(instance)
            }
            Err(failed) => {
                *contexts = instance.into_contexts();
                Err(failed)
            }
        }
    }
}

/// Everything that an image depends on, besides what the journal checks.
pub(crate) fn key<H: Host>(plugin: &Plugin<H>, scope: &[u8], contexts: &[(u32, Arc<Configuration>)]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let (identity, options) = (plugin.identity(), plugin.options());
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(scope);
    add(plugin.module().hash().as_bytes());
    add(identity.name.as_bytes());
    add(identity.vm_id.as_bytes());
    add(&identity.vm_configuration);
    add(identity.root_id.as_str().as_bytes());
    add(&identity.node.encode_to_vec());
    add(format!("{options:?}").as_bytes());
    for (id, configuration) in contexts {
        let (name, root_id) = configuration.names();
        add(&id.to_le_bytes());
        add(name.as_bytes());
        add(root_id.as_bytes());
        add(&configuration.bytes);
    }
    *hasher.finalize().as_bytes()
}
