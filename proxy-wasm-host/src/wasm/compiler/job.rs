//! The work of the child: it finds the module in the cache, or compiles it on all cores, and keeps it
//! there.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};
use wasmtime::OutOfMemory;

use super::child::{Tell, end_in};
use super::told::{Facts, Message, Warnings};
use super::{Artifact, CompileLimits, GRACE, words_for};
use crate::error::Error;
use crate::wasm::cache::{Cache, Place, words};
use crate::wasm::mentions::mentions;
use crate::wasm::module::{Hash, looks_like_wasm};
use crate::wasm::prepare::prepare;
use crate::wasm::{Engine, EngineConfig};

/// The module is in the file, or in the cache.
pub const DONE: i32 = 0;
/// The file holds the reason why the bytes are not a module.
pub const REFUSED: i32 = 1;
/// The memory limit was met.
pub const OUT_OF_MEMORY: i32 = 3;
/// The bytes do not look like a module.
pub const NOT_WASM: i32 = 4;
/// The file holds the reason why the plugin's file cannot be read.
pub const UNREADABLE: i32 = 5;

/// More threads take more memory for stacks than they save time.
const MOST_THREADS: usize = 16;

/// Where a module's bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In a file, which the child reads.
    File(&'a Path),
    /// In memory. Their parent has looked into the cache already.
    Bytes(&'a [u8]),
}

/// The arguments of the child.
pub struct Job<'a> {
    pub engine: &'a Engine,
    pub cache: Option<&'a Cache>,
    pub limits: CompileLimits,
    pub source: Source<'a>,
    /// A name that is looked for in the module.
    pub name: &'a str,
}

impl Job<'_> {
    /// Does the work, tells the parent of it, and returns a code for what the file holds.
    pub fn run(&self, file: &mut File, tell: &Tell) -> io::Result<i32> {
        let tell_warnings = tracing::Dispatch::new(Warnings::new(tell)?);
        tracing::dispatcher::with_default(&tell_warnings, || self.answer(file, tell))
    }

    fn answer(&self, file: &mut File, tell: &Tell) -> io::Result<i32> {
        end_in(self.limits.time + GRACE);
        let (code, reason) = match self.load(file, tell) {
            Ok(facts) => {
                tell.tell(&Message::Loaded(facts).to_bytes());
                return Ok(DONE);
            }
            Err(Error::NotWasm) => return Ok(NOT_WASM),
            Err(Error::CompileMemory(_)) => return Ok(OUT_OF_MEMORY),
            Err(Error::Plugin(reason)) => (UNREADABLE, reason),
            Err(Error::Compile(error)) => (REFUSED, format!("{error:#}")),
            Err(Error::Compiler(reason)) => return Err(io::Error::other(reason)),
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        write(file, reason.as_bytes()).map(|()| code)
    }

    fn load(&self, file: &mut File, tell: &Tell) -> Result<Facts, Error> {
        let read;
        let bytes = match self.source {
            Source::Bytes(bytes) => bytes,
            Source::File(path) => {
                let not_read = |error| Error::Plugin(format!("cannot be read: {}", words(&error)));
                read = std::fs::read(path).map_err(not_read)?;
                &read
            }
        };
        if !looks_like_wasm(bytes) {
            return Err(Error::NotWasm);
        }
        let hash = Hash::of(bytes);
        let place = self.place(&hash, bytes, file, tell)?;
        Ok(Facts { hash, size: bytes.len() as u64, mentions_name: mentions(bytes, self.name), place })
    }

    /// Returns where the compiled module is.
    fn place(&self, hash: &Hash, bytes: &[u8], file: &mut File, tell: &Tell) -> Result<Place, Error> {
        if let (Source::File(_), Some(cache)) = (self.source, self.cache)
            && let Some((_, place)) = cache.find(self.engine, hash)
        {
            return Ok(place);
        }
        let file = Cell::new(Some(file));
        let compile = || {
            tell.tell(&Message::Compiling.to_bytes());
            end_in(self.limits.time);
            let artifact = compile(self.engine.config(), self.limits, bytes)?;
            end_in(GRACE);
            let into = file.take().expect("it is compiled once");
            let failed = |error: io::Error| Error::Compiler(error.to_string());
            write(into, &artifact).map_err(failed)?;
            into.try_clone().map(Artifact::File).map_err(failed)
        };
        match self.cache {
            // Another process may compile it, and take as long.
            Some(cache) => {
                end_in(self.limits.time + GRACE);
                cache.make(self.engine, hash, self.limits.time, compile).map(|(_, place)| place)
            }
            None => compile().map(|_| Place::Nowhere),
        }
    }
}

fn compile(config: EngineConfig, limits: CompileLimits, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let pool = threads();
    let mut config = config.wasmtime();
    config.parallel_compilation(pool.is_some());
    let engine = wasmtime::Engine::new(&config).map_err(Error::Engine)?;
    let prepared = prepare(bytes);
    let compile = || {
        engine.precompile_module(&prepared).map_err(|error| match error.is::<OutOfMemory>() {
            true => Error::CompileMemory(limits.memory),
            false => Error::Compile(words_for(&engine, bytes, error)),
        })
    };
    match &pool {
        Some(pool) => pool.install(compile),
        None => compile(),
    }
}

/// A thread for each core; `None` if there is one core, or if threads cannot be started.
fn threads() -> Option<ThreadPool> {
    let count = available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    if count > 1 { ThreadPoolBuilder::new().num_threads(count).build().ok() } else { None }
}

/// Writes the bytes in place of the text from standard error. If they do not fit, the file is empty
/// again, for the reason.
fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    empty(file)?;
    file.write_all(bytes).or_else(|error| {
        empty(file)?;
        Err(io::Error::other(format!("its result cannot be written: {error}")))
    })
}

fn empty(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}
