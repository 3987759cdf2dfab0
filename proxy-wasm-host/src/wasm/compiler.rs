//! Compiles modules in a child process, within limits of time and memory.
//!
//! A small module can take minutes and gigabytes to compile. In a child process it costs no more
//! than the limits allow, and the memory that the compiler allocated is freed with the child. The
//! compiler in the child may use threads, which are forbidden in a process of nginx's that forks
//! later. The child hands back the artifact in a file in memory.
//!
//! | file | what it is |
//! |---|---|
//! | `loading` | a module that a child loads, as its parent sees it |
//! | `child` | the child process: its start, what it gives up, its end |
//! | `job` | the work that the child does |
//! | `told` | what the child tells its parent |

pub(crate) mod child;
mod job;
pub(super) mod loading;
mod told;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;

use self::child::{Child, End};
use self::job::Job;
pub use self::job::Source;
use super::prepare::prepare;
use super::{Engine, Error};
use crate::error::single_spaced;
use crate::limits::plugin::{COMPILE_MEMORY, COMPILE_TIME};

/// How an artifact begins, which is an ELF file.
const ARTIFACT: &[u8] = b"\x7fELF";

/// The limits for compiling one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Elapsed time.
    pub time: Duration,
    /// Bytes of memory, in addition to what the process already has when it asks.
    pub memory: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { time: COMPILE_TIME, memory: COMPILE_MEMORY }
    }
}

/// The time of the child besides that of the compiler: to read a file, and to write the result.
const GRACE: Duration = Duration::from_secs(60);

/// Where modules are compiled.
#[derive(Clone, Copy, Debug)]
pub enum Compiler {
    /// In this process, without limits: for the host's own modules.
    Here,
    /// In a child process.
    Child(CompileLimits),
}

/// Compiles a module from its bytes or its text, in this process.
///
/// # Errors
/// When the bytes are not a module.
pub(super) fn compile_here(engine: &Engine, bytes: &[u8]) -> Result<Artifact, Error> {
    let module = wasmtime::Module::new(engine.wasmtime(), prepare(bytes));
    module.map(Artifact::Module).map_err(|error| Error::Compile(words_for(engine.wasmtime(), bytes, error)))
}

/// The compiler's result.
pub(super) enum Artifact {
    /// A module that can be used in this process.
    Module(wasmtime::Module),
    /// A file that no other process has.
    File(File),
}

impl Artifact {
    /// The module.
    ///
    /// # Errors
    /// When the file cannot be mapped.
    pub fn into_module(self, engine: &Engine) -> Result<wasmtime::Module, Error> {
        match self {
            Self::Module(module) => Ok(module),
            Self::File(file) => {
                // SAFETY: a child of this process wrote the file from a module that wasmtime
                // compiled in the child; no other process has the file.
                #[allow(unsafe_code)]
                let module = unsafe { wasmtime::Module::deserialize_open_file(engine.wasmtime(), file) };
                module.map_err(|error| Error::Compiler(single_spaced(&format!("{error:#}"))))
            }
        }
    }

    /// Reads the artifact's bytes, for an entry of the cache.
    pub fn read(&self, mut to: impl FnMut(&mut dyn Read) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Module(module) => {
                let bytes = module.serialize().map_err(|error| io::Error::other(format!("{error:#}")))?;
                to(&mut &bytes[..])
            }
            Self::File(file) => {
                let mut file = file;
                file.rewind()?;
                to(&mut file)
            }
        }
    }
}

/// Returns the error for a module as it is written: its offsets are not those of the module that
/// was prepared.
fn words_for(engine: &wasmtime::Engine, bytes: &[u8], error: wasmtime::Error) -> wasmtime::Error {
    let own = wat::parse_bytes(bytes).map(|wasm| wasmtime::Module::validate(engine, &wasm));
    own.ok().and_then(Result::err).unwrap_or(error)
}

/// Starts a child that loads a module. Returns the file that the child writes, too.
fn start(job: &Job<'_>) -> Result<(Child, File), Error> {
    let no_file = |error: Errno| Error::Compiler(format!("no file in memory can be made: {}", io::Error::from(error)));
    let file = memfd_create(c"proxy-wasm-artifact", MFdFlags::MFD_CLOEXEC).map_err(no_file)?;
    let file = File::from(file);
    let mut limits = job.limits;
    if let Source::File(path) = job.source {
        // The child has the file in its memory.
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        limits.memory = limits.memory.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
    }
    let child = Child::start(&file, limits, |file, tell| job.run(file, tell)).map_err(no_child)?;
    Ok((child, file))
}

fn no_child(error: io::Error) -> Error {
    Error::Compiler(format!("no process can be started for the compiler: {error}"))
}

/// Why there is no module, of a child that has ended.
fn reason(end: End, file: &mut File, limits: CompileLimits) -> Error {
    match end {
        End::Code(job::NOT_WASM) => Error::NotWasm,
        End::Code(job::UNREADABLE) => Error::Plugin(said(file)),
        End::Code(job::REFUSED) => Error::Compile(wasmtime::Error::msg(said(file))),
        End::Code(job::OUT_OF_MEMORY) => Error::CompileMemory(limits.memory),
        // The child has set itself an alarm.
        End::Signal(Signal::SIGALRM) | End::TimedOut => Error::CompileTimeout(limits.time),
        end => why(end, &said(file), limits),
    }
}

/// The text that the child wrote before it ended unexpectedly: its own message, or that of Rust's
/// library.
fn why(end: End, said: &str, limits: CompileLimits) -> Error {
    // In the words of Rust's library, or of the C library.
    if said.contains("memory allocation of") || said.contains("out of memory") {
        return Error::CompileMemory(limits.memory);
    }
    let how = match end {
        End::Signal(signal) => format!("the compiler was ended by {signal}"),
        _ => "the compiler failed".to_owned(),
    };
    Error::Compiler(if said.is_empty() { how } else { format!("{how}: {}", single_spaced(said)) })
}

/// The text in the file; empty if a child that was ended had begun to write an artifact there.
fn said(file: &mut File) -> String {
    let mut text = Vec::new();
    // A short text from a child that has ended. If it cannot be read, the error has no text.
    let _ = file.rewind().and_then(|()| file.take(1 << 16).read_to_end(&mut text));
    if text.starts_with(ARTIFACT) { String::new() } else { String::from_utf8_lossy(&text).into_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::wasm::{EngineConfig, Module};

    const SECOND: Duration = Duration::from_secs(1);

    fn engine() -> Engine {
        Engine::new(&EngineConfig::default()).unwrap()
    }

    fn limits(time: Duration, memory: usize) -> Compiler {
        Compiler::Child(CompileLimits { time, memory })
    }

    fn load(compiler: Compiler, bytes: &[u8]) -> Result<Module, Error> {
        Module::load_or_compile(&engine(), &compiler, None, bytes, || ())
    }

    /// Nested loops. Compiling them takes a time that is cubic in their number.
    fn slow() -> Vec<u8> {
        let nested = 20_000;
        let mut text = b"(module (func (local i32)".to_vec();
        text.extend(b" loop".repeat(nested));
        text.extend(b" local.get 0 br_if 0 end".repeat(nested));
        text.extend(b"))");
        text
    }

    /// Many functions, each of which takes memory.
    fn large() -> Vec<u8> {
        let mut text = b"(module".to_vec();
        text.extend(b"(func)".repeat(200_000));
        text.extend(b")");
        text
    }

    #[test]
    fn what_a_child_compiled_runs_here() {
        let module = load(
            Compiler::Child(CompileLimits::default()),
            br#"(module (func (export "f") (result i32) (i32.const 7)))"#,
        );
        let module = module.unwrap();
        let mut store = wasmtime::Store::new(module.wasmtime().engine(), ());
        store.set_epoch_deadline(1);
        let instance = wasmtime::Instance::new(&mut store, module.wasmtime(), &[]).unwrap();
        let function = instance.get_typed_func::<(), i32>(&mut store, "f").unwrap();
        assert_eq!(function.call(&mut store, ()).unwrap(), 7);
    }

    #[test]
    fn a_compile_error_has_the_words_that_it_has_here() {
        for bytes in [&b"(module (x))"[..], b"\0asm\x02\0\0\0", b"(module (func (result i32)))"] {
            let child = load(Compiler::Child(CompileLimits::default()), bytes).err().unwrap().to_string();
            assert_eq!(child, load(Compiler::Here, bytes).err().unwrap().to_string());
        }
    }

    #[test]
    fn too_long_is_an_error_in_time() {
        let begun = Instant::now();
        let error = load(limits(SECOND, 2 << 30), &slow()).err().unwrap();
        assert!(matches!(error, Error::CompileTimeout(_)), "{error}");
        assert!(begun.elapsed() < 60 * SECOND);
        assert!(error.to_string().contains("wasm_compile_timeout"), "{error}");
    }

    #[test]
    fn too_much_is_an_error() {
        let error = load(limits(100 * SECOND, 32 << 20), &large()).err().unwrap();
        assert!(matches!(error, Error::CompileMemory(_)), "{error}");
        assert!(error.to_string().contains("wasm_compile_memory"), "{error}");
    }

    #[test]
    fn a_child_that_is_killed_is_an_error() {
        let file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap());
        let limits = CompileLimits::default();
        let child = Child::start(&file, limits, |_, _| {
            loop {
                std::thread::sleep(SECOND);
            }
        });
        let child = child.unwrap();
        nix::sys::signal::kill(child.pid(), nix::sys::signal::Signal::SIGKILL).unwrap();
        let end = child.wait(limits.time).unwrap();
        let error = why(end, "", limits);
        assert!(error.to_string().contains("the compiler was ended by SIGKILL"), "{error}");
    }

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let mut file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap());
        let limits = CompileLimits::default();
        let child = Child::start(&file, limits, |_, _| panic!("a defect")).unwrap();
        let error = why(child.wait(limits.time).unwrap(), &said(&mut file), limits);
        assert!(error.to_string().contains("a defect"), "{error}");
    }

    /// The error of a child that does the job.
    fn error_of(job: impl FnOnce(&mut File, &child::Tell) -> io::Result<i32>) -> String {
        let mut file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap());
        let limits = CompileLimits::default();
        let end = Child::start(&file, limits, job).unwrap().wait(limits.time).unwrap();
        why(end, &said(&mut file), limits).to_string()
    }

    #[test]
    fn an_artifact_that_does_not_fit_is_an_error_with_its_reason() {
        let engine = engine();
        let job = Job {
            engine: &engine,
            cache: None,
            limits: CompileLimits::default(),
            source: Source::Bytes(b"(module (func))"),
            name: "",
        };
        let error = error_of(|file, tell| {
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE, 1000, 1000)?;
            job.run(file, tell)
        });
        assert!(
            error.ends_with("the compiler failed: its result cannot be written: File too large (os error 27)"),
            "{error}"
        );
    }

    #[test]
    fn no_file_for_the_artifact_is_an_error_with_its_reason() {
        let engine = engine();
        let source = Source::Bytes(b"(module)");
        let job = Job { engine: &engine, cache: None, limits: CompileLimits::default(), source, name: "" };
        let error = error_of(|file, _| {
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 0, 0)?;
            let error = start(&job).unwrap_err();
            io::Write::write_all(file, error.to_string().as_bytes())?;
            Ok(job::REFUSED)
        });
        assert!(error.ends_with("no file in memory can be made: Too many open files (os error 24)"), "{error}");
    }

    #[test]
    fn a_part_of_an_artifact_is_not_taken_for_words() {
        let artifact = engine().wasmtime().precompile_module(b"(module (func))").unwrap();
        let error = error_of(|file, _| {
            io::Write::write_all(file, &artifact[..artifact.len() / 2])?;
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)?;
            Ok(job::DONE)
        });
        assert!(error.ends_with("the compiler was ended by SIGKILL"), "{error}");
    }

    #[test]
    fn a_child_that_runs_guests_is_not_root() {
        let mut file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap());
        let limits = CompileLimits::default();
        let child = Child::start_for(child::Purpose::Run, &file, limits, |file, _| {
            io::Write::write_all(file, std::fs::read_to_string("/proc/self/status")?.as_bytes())?;
            Ok(0)
        });
        assert!(matches!(child.unwrap().wait(limits.time).unwrap(), End::Code(0)));
        let status = said(&mut file);
        assert!(status.contains("Uid:") && !status.contains("Uid:\t0"), "{status}");
    }

    #[test]
    fn a_child_holds_nothing_of_its_parent() {
        let (read, write) = nix::unistd::pipe().unwrap();
        let file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap());
        let child = Child::start(&file, CompileLimits::default(), |_, _| {
            loop {
                std::thread::sleep(SECOND);
            }
        });
        let child = child.unwrap();
        drop(write);
        // Reading ends while the child still exists, because the child does not hold the pipe's
        // other end.
        let mut byte = [0];
        assert_eq!(File::from(read).read(&mut byte).unwrap(), 0);
        assert!(matches!(child.wait(Duration::ZERO).unwrap(), End::TimedOut));
    }
}
