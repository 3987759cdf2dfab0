//! Loads the declared plugins. Those that are not in the cache are compiled by child processes, as
//! many at once as there are cores.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use proxy_wasm_host::config::{Phase, StartFailure};
use proxy_wasm_host::wasm::mentions::mentions;
use proxy_wasm_host::wasm::{Begun, Hash, Module};
use proxy_wasm_host::{Dialect, Plugin, RootId};

use super::announce;
use super::runtime::Runtime;
use crate::conf::{Declared, Fault, HttpConf, Policy, io_reason};
use crate::context::NginxHost;

/// How long to wait for the first of the children before the next look at the others.
const LOOK: Duration = Duration::from_millis(100);

/// A declared plugin that was read, checked and compiled.
pub struct DeclaredPlugin {
    pub plugin: Arc<Plugin<NginxHost>>,
    pub priority: i64,
    pub phase: Phase,
    pub policy: Rc<Policy>,
    pub start_failure: StartFailure,
}

/// A plugin whose file was read.
struct Read<'a> {
    declared: &'a Declared,
    size: usize,
    mentions_root_id: bool,
    module: Begun,
    begun: Instant,
    /// When its child was seen to have ended.
    ended: Option<Instant>,
    is_compiled: Cell<bool>,
}

/// Loads and checks the declared plugins.
///
/// # Errors
///
/// The reason, and the place of the declaration, of one that cannot be loaded.
pub fn load(runtime: &Runtime, said: &HttpConf) -> Result<Vec<DeclaredPlugin>, Fault> {
    let cores = available_parallelism().map_or(1, usize::from);
    let mut loads = Loads { runtime, said, read: VecDeque::new(), plugins: Vec::new() };
    for declared in &said.declared {
        loads.begin(declared)?;
        while loads.read.iter().filter(|read| read.is_loading()).count() >= cores {
            loads.finish_first()?;
        }
    }
    loads.finish_all()?;
    Ok(loads.plugins)
}

struct Loads<'a> {
    runtime: &'a Runtime,
    said: &'a HttpConf,
    /// Those that were read, in the order of their declarations.
    read: VecDeque<Read<'a>>,
    /// Those before them, which are done.
    plugins: Vec<DeclaredPlugin>,
}

impl<'a> Loads<'a> {
    fn begin(&mut self, declared: &'a Declared) -> Result<(), Fault> {
        let bytes = std::fs::read(&declared.path)
            .map_err(|error| fault(declared, &format!("cannot be read: {}", io_reason(&error))))?;
        Plugin::<NginxHost>::check_imports(&bytes).map_err(|error| fault(declared, &error.to_string()))?;
        let hash = Hash::of(&bytes);
        // If one of the same content is being compiled, there is a module to share when it is done.
        if self.read.iter().any(|read| matches!(&read.module, Begun::Loading(other, _) if *other == hash)) {
            self.finish_all()?;
        }
        let Runtime { engine, compiler, cache, .. } = self.runtime;
        let (begun, is_compiled) = (Instant::now(), Cell::new(false));
        let compiling = || compiling(declared, bytes.len(), &is_compiled);
        let module = Module::begin(engine, compiler, cache.as_ref(), &bytes, compiling);
        let module = module.map_err(|error| fault(declared, &error.to_string()))?;
        let ended = (!matches!(module, Begun::Loading(..))).then(Instant::now);
        let mentions_root_id = mentions(&bytes, RootId::PROPERTY);
        self.read.push_back(Read { declared, size: bytes.len(), mentions_root_id, module, begun, ended, is_compiled });
        Ok(())
    }

    fn finish_all(&mut self) -> Result<(), Fault> {
        while !self.read.is_empty() {
            self.finish_first()?;
        }
        Ok(())
    }

    /// Waits for the first, and meanwhile hears what the others tell.
    fn finish_first(&mut self) -> Result<(), Fault> {
        loop {
            self.read.iter_mut().for_each(Read::hear);
            match self.read.front() {
                Some(Read { ended: None, module: Begun::Loading(_, loading), declared, .. }) => {
                    loading.wait_to_hear(LOOK).map_err(|error| fault(declared, &error.to_string()))?;
                }
                _ => break,
            }
        }
        let Some(first) = self.read.pop_front() else { return Ok(()) };
        let plugin = self.plugin(first)?;
        self.plugins.push(plugin);
        Ok(())
    }

    fn plugin(&self, read: Read<'_>) -> Result<DeclaredPlugin, Fault> {
        let Read { declared, mentions_root_id, module, begun, ended, is_compiled, .. } = read;
        let name = &declared.plugin.name;
        let runtime = self.runtime;
        let module = match module {
            Begun::Loaded(module) => module,
            Begun::Loading(_, loading) => {
                let loaded = loading.finish(&runtime.engine, runtime.cache.as_ref(), || ());
                loaded.map_err(|error| fault(declared, &error.to_string()))?.module
            }
        };
        announce::loaded(name, &module, is_compiled.get(), ended.unwrap_or_else(Instant::now) - begun);
        runtime.loads.add(name, module.from_cache());
        let root_id = match declared.plugin.root_id.as_deref() {
            Some(id) => RootId::given_if_asked(id, mentions_root_id),
            None => RootId::to_find_if_asked(name, mentions_root_id),
        };
        let options = self.said.with_directories(name, declared.plugin.overrides.over(&runtime.options));
        let plugin = runtime.link(name, &module, Dialect::Envoy, root_id, declared.vm(), &options);
        Ok(DeclaredPlugin {
            plugin: plugin.map_err(|reason| fault(declared, &reason))?,
            priority: declared.plugin.priority,
            phase: declared.plugin.phase,
            policy: Rc::new(self.said.policy(name, &options)),
            start_failure: options.start_failure,
        })
    }
}

impl Read<'_> {
    fn is_loading(&self) -> bool {
        self.ended.is_none()
    }

    fn hear(&mut self) {
        let Self { declared, size, module, ended, is_compiled, .. } = self;
        if let Begun::Loading(_, loading) = module
            && ended.is_none()
            && loading.hear(|| compiling(declared, *size, is_compiled))
        {
            *ended = Some(Instant::now());
        }
    }
}

fn compiling(declared: &Declared, size: usize, is_compiled: &Cell<bool>) {
    is_compiled.set(true);
    announce::compiling(&declared.plugin.name, size);
}

fn fault(declared: &Declared, reason: &str) -> Fault {
    declared.fault(&format!("\"{}\" at {} {reason}", declared.plugin.name, declared.path.display()))
}
