//! One compiled module in a folder of the cache: wasmtime's artifact, followed by a checksum.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use nix::unistd::Uid;
use tracing::debug;

use super::super::Engine;
use super::folder::{Folder, words};

/// Bytes of the checksum at the end of an entry.
const CHECKSUM: usize = 4;

/// Loads the module of that name from a folder, if there is one. The file is mapped, not read: all
/// processes that use it share its pages.
///
/// # Errors
/// When there is an entry that cannot be used; in words for an operator.
pub fn load(folder: &Folder, name: &str, engine: &Engine) -> Result<Option<wasmtime::Module>, String> {
    load_if(folder, name, engine, |file| match checksum_matches(file)? {
        true => Ok(()),
        false => Err(io::Error::other("its checksum is wrong")),
    })
}

/// Loads a module whose checksum another process of this user has just compared. Reading a large
/// entry for it takes long.
///
/// # Errors
/// Those of [`load`].
pub fn load_checked(folder: &Folder, name: &str, engine: &Engine) -> Result<Option<wasmtime::Module>, String> {
    load_if(folder, name, engine, |_| Ok(()))
}

fn load_if(
    folder: &Folder,
    name: &str,
    engine: &Engine,
    is_whole: impl FnOnce(&File) -> io::Result<()>,
) -> Result<Option<wasmtime::Module>, String> {
    let path = folder.path_of(name);
    let file = match folder.read(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(format!("cannot read {}, so its module is compiled: {}", path.display(), words(&error)));
        }
    };
    let is_usable = is_trusted(&file).and_then(|()| is_whole(&file));
    let module = is_usable.map_err(|error| words(&error)).and_then(|()| {
        // SAFETY: file and folder belong to a user who may run any code in this process. The file
        // is whole, as `store` wrote it from a module that wasmtime had compiled: that was checked
        // here, or by a child of this process. The file does not change later: an entry is only ever replaced by a
        // rename, which leaves an open file as it is.
        #[allow(unsafe_code)]
        let module = unsafe { wasmtime::Module::deserialize_open_file(engine.wasmtime(), file) };
        module.map_err(|error| format!("{error:#}"))
    });
    module.map(Some).map_err(|error| format!("{} is not usable, so its module is compiled: {error}", path.display()))
}

/// Writes an entry. It appears in one step to every process that looks for it.
pub fn store(folder: &Folder, name: &str, artifact: &mut dyn Read) -> io::Result<()> {
    let temporary = format!("{name}.{}", std::process::id());
    let stored = create(folder, &temporary).and_then(|mut file| {
        let checksum = each_chunk(artifact, |chunk| file.write_all(chunk))?;
        file.write_all(&checksum.to_le_bytes())?;
        // The file is not synced: if the machine dies and leaves half of it, the checksum shows
        // that.
        folder.rename(&temporary, name)
    });
    if stored.is_err() {
        let _ = folder.remove(&temporary);
    }
    stored
}

/// Makes a new file, in place of one that a killed process with the same number left.
fn create(folder: &Folder, temporary: &str) -> io::Result<File> {
    folder.create(temporary).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            debug!("{} was left by another process", folder.path_of(temporary).display());
            folder.remove(temporary)?;
            folder.create(temporary)
        }
        _ => Err(error),
    })
}

/// Returns whether code from this file may be run.
fn is_trusted(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    // In a user's folder only that user can make files. But a file may be older than the folder's
    // rights, so its owner is checked.
    let owner = Uid::from_raw(metadata.uid());
    if !owner.is_root() && owner != Uid::effective() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write it"));
    }
    Ok(())
}

fn checksum_matches(file: &File) -> io::Result<bool> {
    let Some(size) = file.metadata()?.len().checked_sub(CHECKSUM as u64) else { return Ok(false) };
    let mut artifact = file.take(size);
    let found = each_chunk(&mut artifact, |_| Ok(()))?;
    let mut checksum = [0; CHECKSUM];
    artifact.into_inner().read_exact(&mut checksum)?;
    Ok(found == u32::from_le_bytes(checksum))
}

/// Reads everything, and returns its checksum.
fn each_chunk(from: &mut dyn Read, mut with: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let chunk = match from.read(&mut buffer)? {
            0 => return Ok(crc.finalize()),
            count => &buffer[..count],
        };
        crc.update(chunk);
        with(chunk)?;
    }
}
