//! The work that the child does: it compiles on all cores, and writes the artifact to the file.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};
use wasmtime::OutOfMemory;

use crate::wasm::EngineConfig;
use crate::wasm::compiler::words_for;
use crate::wasm::prepare::prepare;

/// The file holds the artifact.
pub const DONE: i32 = 0;
/// The file holds the reason why the bytes are not a module.
pub const REFUSED: i32 = 1;
/// The memory limit was met.
pub const OUT_OF_MEMORY: i32 = 3;

/// More threads take more memory for stacks than they save time.
const MOST_THREADS: usize = 16;

/// Compiles, and returns a code for what the file holds.
pub fn run(config: EngineConfig, bytes: &[u8], file: &mut File) -> io::Result<i32> {
    match compile(config, bytes) {
        Ok(artifact) => write(file, &artifact).map(|()| DONE),
        Err(error) if error.is::<OutOfMemory>() => Ok(OUT_OF_MEMORY),
        Err(error) => write(file, format!("{error:#}").as_bytes()).map(|()| REFUSED),
    }
}

fn compile(config: EngineConfig, bytes: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let pool = threads();
    let mut config = config.wasmtime();
    config.parallel_compilation(pool.is_some());
    let engine = wasmtime::Engine::new(&config)?;
    let prepared = prepare(bytes);
    let compile = || {
        engine.precompile_module(&prepared).map_err(|error| match error.is::<OutOfMemory>() {
            true => error,
            false => words_for(&engine, bytes, error),
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
