//! Compiled modules on disk, so that a machine compiles each plugin once.
//!
//! An entry is named by the hash of the plugin's bytes, of wasmtime's version and of everything
//! else that decides what code is made of them, so an entry never goes stale. It is wasmtime's own
//! artifact followed by a checksum. Entries are mapped, not read: every process that uses an entry
//! shares its pages. A fault of the cache never makes a plugin fail: a module that cannot be read
//! is compiled, and one warning reports that nothing can be written.
//!
//! | file | what it is |
//! |---|---|
//! | `folder` | a folder that one user can write, and the files in it |
//! | `entry` | one compiled module |
//! | `lock` | the right to make an entry |

mod entry;
mod folder;
mod lock;

use std::cell::Cell;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::unistd::Uid;
use sha2::{Digest, Sha256};
use tracing::warn;

use self::folder::Folder;
pub(super) use self::folder::words;
use self::lock::Lock;
use super::Engine;
use super::compiler::Artifact;
use super::module::Hash;
use super::prepare;
use crate::error::Error;

/// A directory of compiled modules, with a folder for each user whose processes compile.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    /// Whether the warning that nothing can be kept has been logged.
    has_warned: AtomicBool,
}

impl Cache {
    /// A cache in that directory, which may not exist yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), has_warned: AtomicBool::new(false) }
    }

    /// The path of the cache.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the folder of this process's user. Logs a warning if that is not possible.
    pub fn prepare(&self) {
        self.own_folder();
    }

    /// Makes the folder for the user, given by number, whose processes will load plugins. Only root
    /// may do this.
    pub fn prepare_for(&self, user: u32) {
        let user = Uid::from_raw(user);
        if user != Uid::effective() && Uid::effective().is_root() {
            self.usable(Folder::make_for(&self.directory, user));
        }
    }

    /// Returns the module of that content, and whether it came from the cache. A module that is not
    /// there is compiled, by one process at a time.
    pub(super) fn load_or_compile(
        &self,
        engine: &Engine,
        hash: &Hash,
        patience: Duration,
        compile: impl Fn() -> Result<Artifact, Error>,
    ) -> Result<(wasmtime::Module, bool), Error> {
        if let Some((module, _)) = self.find(engine, hash) {
            return Ok((module, true));
        }
        let compiled = Cell::new(false);
        let (module, _) = self.make(engine, hash, patience, || {
            compiled.set(true);
            compile()
        })?;
        Ok((module, !compiled.get()))
    }

    /// Compiles a module that [`Cache::find`] has not found, unless another process does that
    /// meanwhile.
    pub(super) fn make(
        &self,
        engine: &Engine,
        hash: &Hash,
        patience: Duration,
        compile: impl Fn() -> Result<Artifact, Error>,
    ) -> Result<(wasmtime::Module, Place), Error> {
        let key = key(engine, hash);
        let name = file_of(&key);
        let Some(folder) = self.own_folder() else {
            return Ok((compile()?.into_module(engine)?, Place::Nowhere));
        };
        let lock = Lock::take(&folder, format!("{key}.lock"), patience);
        // If another process compiled while this one waited, the entry exists now.
        if lock.is_some()
            && let Ok(Some(module)) = entry::load(&folder, &name, engine)
        {
            return Ok((module, Place::Own));
        }
        let artifact = compile()?;
        match artifact.read(|bytes| entry::store(&folder, &name, bytes)) {
            // Load the entry just written: it is mapped, and so shared with other processes.
            Ok(()) => {
                if let Ok(Some(module)) = entry::load(&folder, &name, engine) {
                    return Ok((module, Place::Own));
                }
            }
            Err(error) => {
                let path = folder.path_of(&name);
                warn!("cannot write {}, so its module will be compiled again: {}", path.display(), words(&error));
            }
        }
        Ok((artifact.into_module(engine)?, Place::Nowhere))
    }

    /// Finds a module that this user's processes compiled, or root's.
    pub(super) fn find(&self, engine: &Engine, hash: &Hash) -> Option<(wasmtime::Module, Place)> {
        let name = file_of(&key(engine, hash));
        let others = (!Uid::effective().is_root()).then_some(Place::Root);
        [Some(Place::Own), others].into_iter().flatten().find_map(|place| {
            let folder = self.usable(Folder::open(&self.directory, place.user()?))??;
            let module = entry::load(&folder, &name, engine).unwrap_or_else(|reason| {
                warn!("{reason}");
                None
            });
            module.map(|module| (module, place))
        })
    }

    /// Loads the entry that another process has just found to be whole.
    pub(super) fn find_checked(&self, engine: &Engine, hash: &Hash, place: Place) -> Option<wasmtime::Module> {
        let name = file_of(&key(engine, hash));
        let folder = self.usable(Folder::open(&self.directory, place.user()?))??;
        entry::load_checked(&folder, &name, engine).unwrap_or_else(|reason| {
            warn!("{reason}");
            None
        })
    }

    /// Looks at the folders that a child of this process will use, so that a warning about them is
    /// logged once, by this process.
    pub(super) fn look(&self) {
        self.own_folder();
        if !Uid::effective().is_root() {
            self.usable(Folder::open(&self.directory, Uid::from_raw(0)));
        }
    }

    fn own_folder(&self) -> Option<Folder> {
        self.usable(Folder::make(&self.directory))
    }

    /// Returns the folder. If it cannot be used, returns `None` and logs one warning, however often
    /// this happens.
    fn usable<T>(&self, folder: Result<T, String>) -> Option<T> {
        folder
            .inspect_err(|reason| {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    warn!("compiled modules are not kept: {reason}");
                }
            })
            .ok()
    }
}

/// Where a compiled module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not in the cache.
    Nowhere = 0,
    /// In the folder of this process's user.
    Own = 1,
    /// In root's folder, and this process's user is not root.
    Root = 2,
}

impl Place {
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Nowhere, Self::Own, Self::Root].into_iter().find(|place| *place as u8 == number)
    }

    fn user(self) -> Option<Uid> {
        match self {
            Self::Nowhere => None,
            Self::Own => Some(Uid::effective()),
            Self::Root => Some(Uid::from_raw(0)),
        }
    }
}

/// The name of an entry's file.
fn file_of(key: &str) -> String {
    format!("{key}.cwasm")
}

/// The name of a module's entry, without its extension.
fn key(engine: &Engine, hash: &Hash) -> String {
    let mut key = KeyHasher(Sha256::new());
    key.write(hash.as_bytes());
    key.write(prepare::VERSION);
    engine.wasmtime().precompile_compatibility_hash().hash(&mut key);
    let mut name = String::with_capacity(64);
    for byte in key.0.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Feeds values that implement [`std::hash::Hash`] into SHA-256, because a 64-bit hash is too short
/// for a name of code.
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
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::{env, fs, process};

    use super::*;
    use crate::wasm::compiler::compile_here;
    use crate::wasm::{Deadlines, EngineConfig, Module};

    const MODULE: &[u8] = br#"(module (func (export "f") (result i32) (i32.const 7)))"#;

    /// A directory that is removed when the test ends.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("wasm-cache-{name}-{}", process::id()));
            Self(path)
        }

        fn cache(&self) -> Cache {
            Cache::new(&self.0)
        }

        /// The folder of this process's user.
        fn own(&self) -> PathBuf {
            self.0.join(Uid::effective().to_string())
        }

        fn files(&self) -> Vec<PathBuf> {
            fs::read_dir(self.own()).unwrap().map(|file| file.unwrap().path()).collect()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Loads by a new engine, which has not loaded a module yet.
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
        assert!(!load(&directory.cache(), EngineConfig { deadlines: Deadlines::Off }).from_cache());
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
    fn each_user_has_a_folder_that_nobody_else_can_write() {
        let directory = Directory::new("folders");
        let cache = directory.cache();
        cache.prepare();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&directory.0), 0o711);
        assert_eq!(mode(&directory.own()), if Uid::effective().is_root() { 0o711 } else { 0o700 });
        if Uid::effective().is_root() {
            cache.prepare_for(12345);
            cache.prepare_for(12345);
            let theirs = fs::metadata(directory.0.join("12345")).unwrap();
            assert_eq!((theirs.uid(), theirs.mode() & 0o7777), (12345, 0o700));
        }
    }

    #[test]
    fn a_folder_that_others_can_write_is_not_used() {
        let directory = Directory::new("open");
        load(&directory.cache(), EngineConfig::default());
        fs::set_permissions(directory.own(), fs::Permissions::from_mode(0o777)).unwrap();
        let module = load(&directory.cache(), EngineConfig::default());
        assert!(!module.from_cache() && works(&module));
    }

    #[test]
    fn links_are_not_followed() {
        let directory = Directory::new("links");
        let victim = directory.0.with_extension("victim");
        fs::write(&victim, "whole").unwrap();
        load(&directory.cache(), EngineConfig::default());
        let [entry] = directory.files().try_into().unwrap();
        for name in [entry.clone(), entry.with_extension("lock"), temporary(&entry)] {
            fs::remove_file(&entry).unwrap();
            symlink(&victim, &name).unwrap();
            let module = load(&directory.cache(), EngineConfig::default());
            assert!(!module.from_cache() && works(&module));
            assert!(fs::symlink_metadata(&entry).unwrap().is_file(), "{name:?} hinders nobody");
            assert_eq!(fs::read(&victim).unwrap(), b"whole", "by {name:?}");
            let _ = fs::remove_file(entry.with_extension("lock"));
        }
        fs::remove_file(victim).unwrap();
        let elsewhere = directory.0.with_extension("elsewhere");
        fs::rename(&directory.0, &elsewhere).unwrap();
        symlink(&elsewhere, &directory.0).unwrap();
        assert!(!load(&directory.cache(), EngineConfig::default()).from_cache());
        fs::remove_file(&directory.0).unwrap();
        fs::rename(&elsewhere, &directory.0).unwrap();
    }

    /// The temporary file that this process first writes an entry to.
    fn temporary(entry: &Path) -> PathBuf {
        entry.with_extension(format!("cwasm.{}", process::id()))
    }

    #[test]
    fn what_a_killed_process_left_is_no_hindrance() {
        let directory = Directory::new("left");
        load(&directory.cache(), EngineConfig::default());
        let [entry] = directory.files().try_into().unwrap();
        fs::rename(&entry, temporary(&entry)).unwrap();
        assert!(!load(&directory.cache(), EngineConfig::default()).from_cache());
        assert_eq!(directory.files(), [entry]);
    }

    #[test]
    fn what_is_not_a_file_does_not_block() {
        let directory = Directory::new("pipe");
        load(&directory.cache(), EngineConfig::default());
        let [entry] = directory.files().try_into().unwrap();
        fs::remove_file(&entry).unwrap();
        nix::unistd::mkfifo(&entry, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(!load(&directory.cache(), EngineConfig::default()).from_cache());
        assert!(load(&directory.cache(), EngineConfig::default()).from_cache(), "the entry took its place");
    }

    #[test]
    fn a_lock_is_waited_for_but_not_forever() {
        let directory = Directory::new("lock");
        load(&directory.cache(), EngineConfig::default());
        let [entry] = directory.files().try_into().unwrap();
        fs::remove_file(&entry).unwrap();
        let held = fs::File::create(entry.with_extension("lock")).unwrap();
        held.lock().unwrap();
        let (engine, hash) = (Engine::new(&EngineConfig::default()).unwrap(), Hash::of(MODULE));
        let compile = || compile_here(&engine, MODULE);
        let loaded = directory.cache().load_or_compile(&engine, &hash, Duration::from_millis(30), compile);
        assert!(!loaded.unwrap().1, "compiled");
        assert!(load(&directory.cache(), EngineConfig::default()).from_cache(), "and is stored");
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
