//! The compiled file of a plugin.

use std::fmt;
use std::sync::Arc;

use super::compiler::loading::Loading;
use super::compiler::{Source, compile_here};
use super::{Cache, Compiler, Deadlines, Engine, interrupt};
use crate::error::Error;
use crate::limits::plugin::COMPILE_TIME;

/// The BLAKE3 hash of a plugin's file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of a file of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }

    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A compiled module. Clones share it, and so do all plugins whose files have the same content.
#[derive(Clone)]
pub struct Module(Arc<Compiled>);

pub(super) struct Compiled {
    pub(super) hash: Hash,
    size: usize,
    from_cache: bool,
    /// Before the module, whose memory may be used again once it has gone.
    _interruptible: Option<interrupt::Registered>,
    wasmtime: wasmtime::Module,
}

impl Module {
    /// Loads a module from a `.wasm` file, or from the `.wat` text of one. Compiling a large module
    /// takes seconds. It is skipped if the engine or the cache already has a module of that
    /// content.
    ///
    /// # Errors
    /// When `bytes` are not WebAssembly, or of a kind that the engine does not run.
    pub fn load(engine: &Engine, cache: Option<&Cache>, bytes: &[u8]) -> Result<Self, Error> {
        Self::load_or_compile(engine, &Compiler::Here, cache, bytes, || ())
    }

    /// Does the same as [`Module::load`] with that compiler. Calls `compiling` before it begins
    /// work that may take long.
    ///
    /// # Errors
    /// Those of [`Module::load`]; and when the compiler meets a limit.
    pub fn load_or_compile(
        engine: &Engine,
        compiler: &Compiler,
        cache: Option<&Cache>,
        bytes: &[u8],
        compiling: impl Fn(),
    ) -> Result<Self, Error> {
        match Self::begin(engine, compiler, cache, bytes, &compiling)? {
            Begun::Loaded(module) => Ok(module),
            Begun::Loading(_, loading) => loading.finish(engine, cache, compiling).map(|loaded| loaded.module),
        }
    }

    /// Begins to load a module, in a child process if it is to be compiled there.
    ///
    /// # Errors
    /// Those of [`Module::load_or_compile`] that show at once.
    pub fn begin(
        engine: &Engine,
        compiler: &Compiler,
        cache: Option<&Cache>,
        bytes: &[u8],
        compiling: impl Fn(),
    ) -> Result<Begun, Error> {
        let hash = Hash::of(bytes);
        if let Some(known) = engine.loaded(&hash) {
            return Ok(Begun::Loaded(Self(known)));
        }
        if !looks_like_wasm(bytes) {
            return Err(Error::NotWasm);
        }
        let found = cache.and_then(|cache| cache.find(engine, &hash));
        let (wasmtime, from_cache) = match (found, compiler, cache) {
            (Some((module, _)), ..) => (module, true),
            (None, Compiler::Child(limits), _) => {
                let loading = Loading::start(engine, *limits, cache, Source::Bytes(bytes), "")?;
                return Ok(Begun::Loading(hash, loading));
            }
            (None, Compiler::Here, cache) => {
                let compile = || {
                    compiling();
                    compile_here(engine, bytes)
                };
                match cache {
                    Some(cache) => cache.load_or_compile(engine, &hash, COMPILE_TIME, compile)?,
                    None => (compile()?.into_module(engine)?, false),
                }
            }
        };
        Ok(Begun::Loaded(Self::remembered(engine, hash, bytes.len(), from_cache, wasmtime)))
    }

    /// A module that the engine finds again, as long as it is in use.
    pub(super) fn remembered(
        engine: &Engine,
        hash: Hash,
        size: usize,
        from_cache: bool,
        wasmtime: wasmtime::Module,
    ) -> Self {
        let interruptible =
            (engine.config().deadlines == Deadlines::Signal).then(|| interrupt::Registered::of(&wasmtime));
        let compiled = Arc::new(Compiled { hash, size, from_cache, _interruptible: interruptible, wasmtime });
        engine.remember(&compiled);
        Self(compiled)
    }

    /// The hash of the file's content.
    pub fn hash(&self) -> Hash {
        self.0.hash
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Whether the cache had the compiled module.
    pub fn from_cache(&self) -> bool {
        self.0.from_cache
    }

    /// Wasmtime's own module.
    pub fn wasmtime(&self) -> &wasmtime::Module {
        &self.0.wasmtime
    }
}

impl From<Arc<Compiled>> for Module {
    fn from(known: Arc<Compiled>) -> Self {
        Self(known)
    }
}

/// What [`Module::begin`] has done.
pub enum Begun {
    /// The module is there.
    Loaded(Module),
    /// A child loads the module of that content.
    Loading(Hash, Loading),
}

/// Returns whether the bytes are worth a compiler's error message: a binary by its magic number, or
/// a text by its first character.
pub(super) fn looks_like_wasm(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm") || matches!(bytes.trim_ascii_start().first(), Some(b'(' | b';'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::EngineConfig;

    #[test]
    fn the_same_content_is_one_module_while_it_is_in_use() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        let first = Module::load(&engine, None, b"(module)").unwrap();
        let second = Module::load(&engine.clone(), None, b"(module)").unwrap();
        assert!(Arc::ptr_eq(&first.0, &second.0));
        assert_eq!((first.size(), first.hash().to_string().len()), (8, 64));
        let other = Module::load(&engine, None, b"(module )").unwrap();
        assert_ne!(first.hash(), other.hash());
        let hash = first.hash();
        drop((first, second));
        assert!(engine.loaded(&hash).is_none());
    }

    #[test]
    fn only_webassembly_is_compiled() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        for bytes in [&b""[..], b"\x7fELF", b"<html>", b"  name: x"] {
            assert!(matches!(Module::load(&engine, None, bytes), Err(Error::NotWasm)));
        }
        for bytes in [&b"\0asm"[..], b"\0asm\x02\0\0\0", b" (module (x))", b";; nothing"] {
            assert!(matches!(Module::load(&engine, None, bytes), Err(Error::Compile(_))), "{bytes:?}");
        }
        Module::load(&engine, None, b"\0asm\x01\0\0\0").unwrap();
        Module::load(&engine, None, b"\n;; text\n(module)").unwrap();
    }
}
