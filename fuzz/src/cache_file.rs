//! Fuzzes files in the folder of compiled modules: whatever is in the folder, the module must run.
//!
//! The inputs have no entry with a valid checksum. Whoever can write such an entry can write code
//! that the worker runs; only the folder's owner can, and the checksum protects only against
//! damage.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, io, process};

use proxy_wasm_host::local::engine;
use proxy_wasm_host::wasm::{Cache, Module};

use crate::input::Input;

const MODULE: &[u8] = br#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#;

/// The cache, and its only entry.
struct Folder {
    cache: Cache,
    entry: PathBuf,
    whole: Vec<u8>,
}

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let path = env::temp_dir().join(format!("fuzz-cache-{}", process::id()));
    let cache = Cache::new(&path);
    drop(load(&cache));
    let only =
        |folder: PathBuf| fs::read_dir(folder).expect("a folder").next().expect("an entry").expect("its name").path();
    // In that of this user.
    let entry = only(only(path));
    let whole = fs::read(&entry).expect("the entry");
    Folder { cache, entry, whole }
});

/// Changes the entry and loads its module. The entry is used only if it is unchanged and only its
/// owner can write it; otherwise the cache has the right entry again.
pub fn run(data: &[u8]) {
    let folder = &*FOLDER;
    let mut input = Input::new(data);
    let mode = [0o644, 0o600, 0o664, 0o646, 0o000][usize::from(input.byte() % 5)];
    let bytes = change(folder.whole.clone(), input);
    if bytes != folder.whole && checksum_fits(&bytes) {
        return;
    }
    // Replaces the file, as the cache does by renaming: a file that an earlier run mapped stays
    // unchanged.
    fs::remove_file(&folder.entry).or_else(ignore_missing).expect("to remove the entry");
    fs::write(&folder.entry, &bytes).expect("to write an entry");
    fs::set_permissions(&folder.entry, Permissions::from_mode(mode)).expect("to set its permissions");

    let module = load(&folder.cache);
    if module.from_cache() {
        assert!(bytes == folder.whole && mode & 0o022 == 0, "what was changed is used");
    } else {
        assert!(fs::read(&folder.entry).expect("a new entry") == folder.whole, "the entry is not made good");
    }
}

/// Returns the whole entry, parts of it, or something else.
fn change(mut bytes: Vec<u8>, mut input: Input<'_>) -> Vec<u8> {
    match input.byte() % 4 {
        0 => return input.rest().to_vec(),
        1 => bytes.truncate(input.number() as usize % bytes.len()),
        2 => bytes.extend_from_slice(input.bytes()),
        _ => {}
    }
    while !input.is_empty() && !bytes.is_empty() {
        let place = input.number() as usize % bytes.len();
        bytes[place] ^= input.byte();
    }
    bytes
}

fn checksum_fits(bytes: &[u8]) -> bool {
    let Some((artifact, checksum)) = bytes.split_last_chunk() else { return false };
    crc32fast::hash(artifact) == u32::from_le_bytes(*checksum)
}

fn load(cache: &Cache) -> Module {
    Module::load(engine(), Some(cache), MODULE).expect("a module, from the cache or not")
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
