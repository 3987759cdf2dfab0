//! A module that a child process loads: the child reads the file, looks into the cache, and compiles
//! what is not there. Meanwhile this process does other work.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use tracing::warn;

use super::child::{Child, End};
use super::job::{self, Job, Source};
use super::told::{Facts, Message};
use super::{Artifact, CompileLimits, no_child, reason};
use crate::error::Error;
use crate::wasm::{Cache, Engine, Module};

/// How long to wait for a child before the next look at it. The child ends itself in time.
const LOOK: Duration = Duration::from_secs(60);

/// A module that is being loaded. Dropping it ends the child.
#[derive(Debug)]
pub struct Loading {
    child: Child,
    file: File,
    limits: CompileLimits,
    /// Bytes of what was heard that were understood.
    understood: usize,
    is_compiled: bool,
    facts: Option<Facts>,
}

/// A module that was loaded.
pub struct Loaded {
    /// The module.
    pub module: Module,
    /// Whether the module mentions the name that was looked for.
    pub mentions_name: bool,
    /// Whether it was compiled for this.
    pub is_compiled: bool,
}

impl Loading {
    /// Starts to load a module, and to look for a name in it.
    ///
    /// # Errors
    /// When no child can be started.
    pub fn start(
        engine: &Engine,
        limits: CompileLimits,
        cache: Option<&Cache>,
        source: Source<'_>,
        name: &str,
    ) -> Result<Self, Error> {
        if let Some(cache) = cache {
            cache.look();
        }
        let (child, file) = super::start(&Job { engine, cache, limits, source, name })?;
        Ok(Self { child, file, limits, understood: 0, is_compiled: false, facts: None })
    }

    /// The descriptor that can be read when there is something to [hear](Loading::hear).
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.child.descriptor()
    }

    /// Hears what the child tells, without waiting: calls `compiling` when the compiler begins, and
    /// logs the child's warnings. Returns whether the child has ended.
    pub fn hear(&mut self, compiling: impl Fn()) -> bool {
        // What cannot be read any more has ended.
        let has_ended = self.child.hear().unwrap_or(true);
        while let Some((message, length)) = Message::first_of(&self.child.heard()[self.understood..]) {
            match message {
                Message::Compiling => {
                    self.is_compiled = true;
                    compiling();
                }
                Message::Warning(text) => warn!("{text}"),
                Message::Loaded(facts) => self.facts = Some(facts),
            }
            self.understood += length;
        }
        has_ended
    }

    /// Whether the child has told that it compiles.
    pub fn compiles(&self) -> bool {
        self.is_compiled
    }

    /// Waits until there is something to hear, or the time is over.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn wait_to_hear(&self, time: Duration) -> Result<(), Error> {
        self.child.wait_to_hear(time).map_err(no_child)
    }

    /// Waits for the end, if it is not there yet, and returns the module.
    ///
    /// # Errors
    /// Why there is none.
    pub fn finish(mut self, engine: &Engine, cache: Option<&Cache>, compiling: impl Fn()) -> Result<Loaded, Error> {
        while !self.hear(&compiling) {
            self.wait_to_hear(LOOK)?;
        }
        let Self { child, mut file, limits, is_compiled, facts, .. } = self;
        let end = child.end().map_err(no_child)?;
        let (End::Code(job::DONE), Some(facts)) = (&end, facts) else { return Err(reason(end, &mut file, limits)) };
        let module = match engine.loaded(&facts.hash) {
            Some(known) => Module::from(known),
            None => {
                let in_cache = cache.and_then(|cache| cache.find_checked(engine, &facts.hash, facts.place));
                let wasmtime = match in_cache {
                    Some(module) => module,
                    None if is_compiled => Artifact::File(file).into_module(engine)?,
                    None => return Err(Error::Compiler("its entry in the cache has gone".to_owned())),
                };
                Module::remembered(engine, facts.hash, facts.size as usize, !is_compiled, wasmtime)
            }
        };
        Ok(Loaded { module, mentions_name: facts.mentions_name, is_compiled })
    }
}
