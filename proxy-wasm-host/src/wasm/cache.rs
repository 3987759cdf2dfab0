//! Compiled modules on disk, so that a machine compiles each plugin once.
//!
//! An entry is named by the hash of the plugin's bytes, of wasmtime's version and of everything that decides what code is made
//! of them, so it never goes stale. It is wasmtime's own artifact with a checksum behind it, and is mapped, not read: every
//! process that uses it shares its pages. The cache is never a reason to fail: what cannot be read is compiled, and what cannot
//! be written is said in one warning.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use tracing::{debug, warn};

use super::Engine;
use super::module::Hash;
use crate::error::Error;

/// Written by its owner only: nginx sets no umask.
const MODE: u32 = 0o644;

/// Bytes of the checksum at the end of an entry.
const CHECKSUM: usize = 4;

/// A directory of compiled modules.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// A cache in a directory that exists. Nobody but the users whose processes use it may write there: code is run from it.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The module of that content and whether it came from here; if it is not here, it is compiled, by one process at a time.
    pub(super) fn load_or_compile(
        &self,
        engine: &Engine,
        hash: &Hash,
        compile: impl Fn() -> Result<wasmtime::Module, Error>,
    ) -> Result<(wasmtime::Module, bool), Error> {
        let entry = self.entry(engine, hash);
        if let Some(module) = entry.load(engine) {
            return Ok((module, true));
        }
        // Who waited here for another process to compile finds its work. No lock is no reason not to go on.
        let lock = entry.lock().inspect_err(|error| warn!("cannot lock {}: {error}", entry.lock.display()));
        if lock.is_ok()
            && let Some(module) = entry.load(engine)
        {
            return Ok((module, true));
        }
        let module = compile()?;
        match entry.store(&module) {
            // As others will have it: mapped, and so shared with them.
            Ok(()) => Ok((entry.load(engine).unwrap_or(module), false)),
            Err(error) => {
                warn!("cannot write {}, so its module will be compiled again: {error}", entry.path.display());
                Ok((module, false))
            }
        }
    }

    fn entry(&self, engine: &Engine, hash: &Hash) -> Entry {
        let mut key = KeyHasher(Sha256::new());
        key.write(hash.as_bytes());
        engine.wasmtime().precompile_compatibility_hash().hash(&mut key);
        let mut name = String::with_capacity(64);
        for byte in key.0.finalize() {
            // A String takes whatever is written to it.
            let _ = write!(name, "{byte:02x}");
        }
        Entry {
            path: self.directory.join(format!("{name}.cwasm")),
            lock: self.directory.join(format!("{name}.lock")),
            temporary: self.directory.join(format!("{name}.{}", std::process::id())),
        }
    }
}

/// One module's files in the cache.
struct Entry {
    path: PathBuf,
    lock: PathBuf,
    temporary: PathBuf,
}

impl Entry {
    fn load(&self, engine: &Engine) -> Option<wasmtime::Module> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!("cannot read {}, so its module is compiled: {error}", self.path.display());
                return None;
            }
        };
        let module = verify(&file).map_err(|error| error.to_string()).and_then(|()| {
            // SAFETY: `verify` saw that the file is whole, as `store` wrote it from a module wasmtime had compiled, and that it
            // belongs to a user who may run any code in this process. It is not changed later: entries are only ever renamed
            // over, which leaves an open file as it is.
            #[allow(unsafe_code)]
            let module = unsafe { wasmtime::Module::deserialize_open_file(engine.wasmtime(), file) };
            module.map_err(|error| format!("{error:#}"))
        });
        module
            .inspect_err(|error| warn!("{} is not usable, so its module is compiled: {error}", self.path.display()))
            .ok()
    }

    fn lock(&self) -> io::Result<Lock<'_>> {
        // One that another user made cannot be written, but can be locked.
        let open = OpenOptions::new().append(true).create(true).mode(MODE).open(&self.lock);
        let file = open.or_else(|_| File::open(&self.lock))?;
        file.lock()?;
        Ok(Lock { path: &self.lock, _file: file })
    }

    fn store(&self, module: &wasmtime::Module) -> io::Result<()> {
        let artifact = module.serialize().map_err(|error| io::Error::other(format!("{error:#}")))?;
        let create = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&self.temporary);
        let written = create.and_then(|mut file| {
            file.write_all(&artifact)?;
            file.write_all(&crc32fast::hash(&artifact).to_le_bytes())
        });
        // Not synced: if the machine dies and leaves half of it, the checksum tells.
        let stored = written.and_then(|()| fs::rename(&self.temporary, &self.path));
        if stored.is_err() {
            let _ = fs::remove_file(&self.temporary);
        }
        stored
    }
}

/// The right to make an entry, while it lives.
struct Lock<'a> {
    path: &'a Path,
    _file: File,
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Who waits on the file that is removed here gets it next, and finds the entry made. Who comes later and makes a new
        // one finds it, too.
        if let Err(error) = fs::remove_file(self.path) {
            debug!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Whether code may be run from this file.
fn verify(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    // nginx's master runs as root and its workers do not: a worker that is taken over must not be able to plant code in the
    // master. So root trusts what root wrote, and a worker what it or root wrote.
    let owner = Uid::from_raw(metadata.uid());
    if !owner.is_root() && owner != Uid::effective() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write it"));
    }
    if checksum_matches(file, metadata.len())? { Ok(()) } else { Err(io::Error::other("its checksum is wrong")) }
}

fn checksum_matches(file: &File, size: u64) -> io::Result<bool> {
    let Some(size) = size.checked_sub(CHECKSUM as u64) else { return Ok(false) };
    let mut crc = crc32fast::Hasher::new();
    let mut artifact = file.take(size);
    let mut chunk = vec![0; 1 << 18];
    loop {
        match artifact.read(&mut chunk)? {
            0 => break,
            count => crc.update(&chunk[..count]),
        }
    }
    let mut checksum = [0; CHECKSUM];
    artifact.into_inner().read_exact(&mut checksum)?;
    Ok(crc.finalize() == u32::from_le_bytes(checksum))
}

/// Feeds what implements [`std::hash::Hash`] into SHA-256: a 64-bit hash would be too short for the name of code.
struct KeyHasher(Sha256);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the key is the whole SHA-256")
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::fs::PermissionsExt;
    use std::process;

    use super::*;
    use crate::wasm::{EngineConfig, Module};

    const MODULE: &[u8] = br#"(module (func (export "f") (result i32) (i32.const 7)))"#;

    /// A directory that goes with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("wasm-cache-{name}-{}", process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn cache(&self) -> Cache {
            Cache::new(&self.0)
        }

        fn files(&self) -> Vec<PathBuf> {
            fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().path()).collect()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// An engine of its own, which knows no module yet.
    fn load(cache: &Cache, config: EngineConfig) -> Module {
        Module::load(&Engine::new(&config).unwrap(), Some(cache), MODULE).unwrap()
    }

    fn works(module: &Module) -> bool {
        let mut store = wasmtime::Store::new(module.wasmtime().engine(), ());
        store.set_epoch_deadline(1);
        let instance = wasmtime::Instance::new(&mut store, module.wasmtime(), &[]).unwrap();
        instance.get_typed_func::<(), i32>(&mut store, "f").unwrap().call(&mut store, ()).unwrap() == 7
    }

    #[test]
    fn what_one_engine_compiled_another_finds() {
        let directory = Directory::new("finds");
        let first = load(&directory.cache(), EngineConfig::default());
        assert!(!first.from_cache() && works(&first));
        let second = load(&directory.cache(), EngineConfig::default());
        assert!(second.from_cache() && works(&second));
        assert_eq!(first.hash(), second.hash());
        assert_eq!(directory.files().len(), 1, "neither lock nor temporary file stays");
    }

    #[test]
    fn engines_that_make_other_code_have_other_entries() {
        let directory = Directory::new("configuration");
        load(&directory.cache(), EngineConfig::default());
        assert!(!load(&directory.cache(), EngineConfig { epoch_interruption: false }).from_cache());
        assert_eq!(directory.files().len(), 2);
    }

    #[test]
    fn a_damaged_entry_is_compiled_again() {
        let directory = Directory::new("damaged");
        load(&directory.cache(), EngineConfig::default());
        let [entry] = directory.files().try_into().unwrap();
        let whole = fs::read(&entry).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&b""[..], &whole[..3], &whole[..whole.len() - 1], &whole[1..], &flipped] {
            fs::write(&entry, damaged).unwrap();
            let module = load(&directory.cache(), EngineConfig::default());
            assert!(!module.from_cache() && works(&module));
            assert_eq!(fs::read(&entry).unwrap(), whole, "it is made good");
        }
    }

    #[test]
    fn an_entry_that_others_can_write_is_not_run() {
        let directory = Directory::new("writable");
        load(&directory.cache(), EngineConfig::default());
        let [entry] = directory.files().try_into().unwrap();
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!load(&directory.cache(), EngineConfig::default()).from_cache());
    }

    #[test]
    fn a_cache_that_is_not_there_is_no_failure() {
        let module = load(&Cache::new("/nonexistent/cache"), EngineConfig::default());
        assert!(!module.from_cache() && works(&module));
    }

    #[test]
    fn many_at_once_compile_once() {
        let directory = Directory::new("once");
        let compiled: usize = std::thread::scope(|scope| {
            let load = || usize::from(!load(&directory.cache(), EngineConfig::default()).from_cache());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(compiled, 1);
    }
}
