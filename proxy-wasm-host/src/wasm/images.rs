//! Images of instances that have started, in one file in memory that all workers share.
//!
//! The master makes the file before it forks, and workers inherit it. The file has regions. Each
//! holds one image: the linear memory, and bytes that the caller adds, under a key. A worker maps
//! the memory privately: pages that nobody writes are shared by all.
//!
//! Who may do what is decided by POSIX record locks on one byte per region, which the kernel
//! releases when a process dies: nobody writes a region that another process has mapped, and a
//! region whose writer died is free. So there is no state that a killed worker could leave wrong:
//! without its writer's lock, a region that is being written counts as empty.
//!
//! A worker may run plugins that took it over, so what a region says of itself is checked. Its
//! bytes are a guest's memory: they can do no more than that guest.
//!
//! | file | what it is |
//! |---|---|
//! | `mapping` | maps a region's memory over that of an instance |
//! | `pagemap` | which pages a process has touched |
//! | `write_over` | makes a memory that was used as its image is |

mod mapping;
mod pagemap;
mod write_over;

#[cfg(test)]
pub use pagemap::forget as forget_pagemap;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::iter;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use parking_lot::Mutex;

use crate::limits::images::{EXTENTS, GAP, META, REGIONS, UNUSED};

/// Bytes from one region to the next: room for all that 32 bits can address, and for what the caller adds.
const REGION: u64 = 8 << 30;

/// Where a region's memory begins.
const MEMORY: u64 = 1 << 30;

/// Bytes of one region's row in the table at the beginning of the file.
const ROW: usize = 64;

/// The bytes that are written, and left out where they are zero, at once.
const PAGE: usize = 4096;

/// How often to try to be alone.
const ATTEMPTS: usize = 50;

/// Memory is mapped in pages of WebAssembly's, which are whole pages on every machine.
const WASM_PAGE: usize = 64 << 10;

/// Names an image: a hash of everything that it depends on.
pub type Key = [u8; 32];

/// A region's row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    state: State,
    key: Key,
    meta: u32,
    memory: u64,
    /// Grows from image to image.
    turn: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty = 0,
    /// Whoever holds the lock for writing starts the instance, or writes its image.
    Filling = 1,
    Ready = 2,
    /// There can be no image of this key.
    Refused = 3,
}

/// The file of images.
#[derive(Debug)]
pub struct Images {
    file: File,
    /// How often this process uses each region. Locks are those of a process, and do not count.
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    process: u32,
    regions: HashMap<usize, usize>,
}

/// What there is of a key.
#[derive(Debug)]
pub enum Found {
    /// An image.
    Image(ImageFile),
    /// Another process starts an instance to make the image.
    Busy,
    /// Another process found that there can be no image.
    Refused,
    /// Nothing.
    Nothing,
}

impl Images {
    /// Makes the file, which takes no memory yet. Called in the process that will fork.
    ///
    /// # Errors
    /// When the system has no such files, or limits their size.
    pub fn new() -> io::Result<Arc<Self>> {
        let size = REGION * (1 + REGIONS as u64);
        let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
        if limit < size {
            return Err(io::Error::other("the size of files is limited (ulimit -f)"));
        }
        let file = File::from(memfd_create(c"proxy-wasm-images", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
        file.set_len(size)?;
        // A file that shrinks would be a SIGBUS for everybody who has mapped it.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Arc::new(Self { file, used: Mutex::default() }))
    }

    /// Finds the image of a key.
    pub fn find(self: &Arc<Self>, key: &Key) -> Found {
        let Ok(rows) = self.rows() else { return Found::Nothing };
        for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.key == *key) {
            match row.state {
                State::Ready => {
                    if let Some(image) = self.open(index, key) {
                        return Found::Image(image);
                    }
                }
                State::Refused => return Found::Refused,
                State::Filling if !self.is_free(index) => return Found::Busy,
                State::Filling | State::Empty => {}
            }
        }
        Found::Nothing
    }

    /// As [`Images::find`]. If another process is about to make the image, waits for it, but no
    /// longer than this.
    pub fn wait_for(self: &Arc<Self>, key: &Key, patience: Duration) -> Found {
        let begun = Instant::now();
        loop {
            match self.find(key) {
                Found::Busy if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(1)),
                found => return found,
            }
        }
    }

    /// Takes the right to make the image of a key. Returns `None` if another process has it, or if
    /// there is no room.
    pub fn claim(self: &Arc<Self>, key: &Key) -> Option<Claim> {
        let _alone = self.alone()?;
        let rows = self.rows().ok()?;
        if rows.iter().enumerate().any(|(index, row)| {
            row.key == *key && matches!(row.state, State::Filling | State::Ready) && !self.is_free(index)
        }) {
            return None;
        }
        self.let_go(&rows);
        let rows = self.rows().ok()?;
        let turn = rows.iter().map(|row| row.turn).max()?.wrapping_add(1);
        // A region that nobody has used is taken before one whose image nobody uses now.
        let order = [State::Empty, State::Filling, State::Refused, State::Ready];
        let used = self.used().regions.clone();
        order.into_iter().find_map(|state| {
            let mut candidates =
                rows.iter().enumerate().filter(|(index, row)| row.state == state && !used.contains_key(index));
            candidates.find_map(|(index, row)| {
                self.lock(index, libc::F_WRLCK).ok()?;
                // Another process may have been here before the lock.
                if self.row(index).ok() != Some(*row) {
                    let _ = self.lock(index, libc::F_UNLCK);
                    return None;
                }
                self.used().regions.insert(index, 1);
                let claim = Claim { images: Arc::clone(self), index, key: *key, turn, held: true };
                claim.begin().ok()?;
                Some(claim)
            })
        })
    }

    /// Frees the memory of images that nobody uses, the oldest first, until those that are left are
    /// no larger than [`UNUSED`] together. They wait for a worker or a configuration to come back.
    fn let_go(&self, rows: &[Row]) {
        let used = self.used().regions.clone();
        let is_unused =
            |index: usize, row: &Row| row.state == State::Ready && !used.contains_key(&index) && self.is_free(index);
        let mut unused: Vec<_> = rows.iter().enumerate().filter(|(index, row)| is_unused(*index, row)).collect();
        unused.sort_by_key(|(_, row)| std::cmp::Reverse(row.turn));
        let mut size = 0_u64;
        for (index, row) in unused {
            size = size.saturating_add(row.memory);
            if size > UNUSED {
                self.free(index, row);
            }
        }
    }

    /// Frees the memory of a region that nobody uses.
    fn free(&self, index: usize, row: &Row) {
        if self.lock(index, libc::F_WRLCK).is_err() {
            return;
        }
        // As in `claim`.
        if self.row(index).ok() == Some(*row) && self.write_row(index, &Row::EMPTY).is_ok() {
            // Otherwise its memory is freed when the region is used again.
            let _ = self.punch(index);
        }
        let _ = self.lock(index, libc::F_UNLCK);
    }

    fn punch(&self, index: usize) -> io::Result<()> {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        Ok(fallocate(&self.file, flags, start_of(index).cast_signed(), REGION.cast_signed())?)
    }

    /// Opens a region whose row says that it is ready.
    fn open(self: &Arc<Self>, index: usize, key: &Key) -> Option<ImageFile> {
        let mut image = self.hold(index)?;
        let row = self.row(index).ok()?;
        let valid = row.state == State::Ready && row.key == *key;
        // It may have been given to another image before the lock was taken.
        if !valid || row.meta as usize > META || row.memory > 1 << 32 {
            return None;
        }
        (image.meta, image.memory) = (row.meta as usize, row.memory as usize);
        Some(image)
    }

    /// Takes part in the use of a region by this process.
    fn hold(self: &Arc<Self>, index: usize) -> Option<ImageFile> {
        let mut used = self.used();
        let count = used.regions.entry(index).or_default();
        if *count == 0 && self.lock(index, libc::F_RDLCK).is_err() {
            used.regions.remove(&index);
            return None;
        }
        *count += 1;
        drop(used);
        Some(ImageFile::new(self, index, 0, 0))
    }

    /// The regions that this process uses. A child process begins without the locks of its parent.
    fn used(&self) -> parking_lot::MutexGuard<'_, Used> {
        let mut used = self.used.lock();
        let process = std::process::id();
        if used.process != process {
            *used = Used { process, regions: HashMap::new() };
        }
        used
    }

    /// Lets one process at a time take a right, so that no two take it for one key. It takes
    /// microseconds, so a process that waits longer than milliseconds goes without.
    fn alone(&self) -> Option<Alone<'_>> {
        let taken = (0..ATTEMPTS).any(|attempt| {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.lock(REGIONS, libc::F_WRLCK).is_ok()
        });
        taken.then(|| Alone(self))
    }

    fn lock(&self, index: usize, kind: i32) -> nix::Result<()> {
        fcntl(&self.file, FcntlArg::F_SETLK(&record(index, kind))).map(drop)
    }

    /// Whether no other process holds a region.
    fn is_free(&self, index: usize) -> bool {
        let mut record = record(index, libc::F_WRLCK);
        let asked = fcntl(&self.file, FcntlArg::F_GETLK(&mut record));
        asked.is_ok() && i32::from(record.l_type) == libc::F_UNLCK
    }

    fn rows(&self) -> io::Result<Vec<Row>> {
        let mut table = vec![0; ROW * REGIONS];
        self.file.read_exact_at(&mut table, 0)?;
        Ok(table.as_chunks::<ROW>().0.iter().map(Row::read).collect())
    }

    fn row(&self, index: usize) -> io::Result<Row> {
        let mut row = [0; ROW];
        self.file.read_exact_at(&mut row, (index * ROW) as u64)?;
        Ok(Row::read(&row))
    }

    fn write_row(&self, index: usize, row: &Row) -> io::Result<()> {
        self.file.write_all_at(&row.bytes(), (index * ROW) as u64)
    }
}

/// The lock behind those of the regions, until it is dropped.
struct Alone<'a>(&'a Images);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // It ends with the process at the latest.
        let _ = self.0.lock(REGIONS, libc::F_UNLCK);
    }
}

/// A lock of one region.
fn record(index: usize, kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: index as i64, l_len: 1, l_pid: 0 }
}

impl Row {
    const EMPTY: Self = Self { state: State::Empty, key: [0; 32], meta: 0, memory: 0, turn: 0 };

    fn read(bytes: &[u8; ROW]) -> Self {
        let (mut key, mut meta, mut memory, mut turn) = ([0; 32], [0; 4], [0; 8], [0; 8]);
        key.copy_from_slice(&bytes[8..40]);
        meta.copy_from_slice(&bytes[4..8]);
        memory.copy_from_slice(&bytes[40..48]);
        turn.copy_from_slice(&bytes[48..56]);
        let state = match bytes[0] {
            1 => State::Filling,
            2 => State::Ready,
            3 => State::Refused,
            _ => State::Empty,
        };
        let (meta, memory) = (u32::from_le_bytes(meta), u64::from_le_bytes(memory));
        Self { state, key, meta, memory, turn: u64::from_le_bytes(turn) }
    }

    fn bytes(&self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        bytes[0] = self.state as u8;
        bytes[4..8].copy_from_slice(&self.meta.to_le_bytes());
        bytes[8..40].copy_from_slice(&self.key);
        bytes[40..48].copy_from_slice(&self.memory.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.turn.to_le_bytes());
        bytes
    }
}

fn start_of(index: usize) -> u64 {
    REGION * (1 + index as u64)
}

/// The right to make an image. Dropping it gives it up.
#[derive(Debug)]
pub struct Claim {
    images: Arc<Images>,
    index: usize,
    key: Key,
    turn: u64,
    held: bool,
}

impl Claim {
    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Empties the region.
    fn begin(&self) -> io::Result<()> {
        self.write_row(State::Filling, 0, 0)?;
        self.images.punch(self.index)
    }

    /// Writes the image: what is not zero in these parts of a memory, and the caller's own bytes.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn fill(mut self, memory: &[u8], extents: &[Range<usize>], meta: &[u8]) -> io::Result<ImageFile> {
        if meta.len() > META {
            return Err(io::Error::other("it asked too much of the host while it started"));
        }
        let (file, start) = (&self.images.file, start_of(self.index));
        file.write_all_at(meta, start)?;
        for run in used(memory, extents, PAGE) {
            file.write_all_at(&memory[run.clone()], start + MEMORY + run.start as u64)?;
        }
        self.write_row(State::Ready, meta.len() as u32, memory.len() as u64)?;
        self.images.lock(self.index, libc::F_RDLCK)?;
        // The region stays in use, now by the image.
        self.held = false;
        Ok(ImageFile::new(&self.images, self.index, meta.len(), memory.len()))
    }

    /// Tells others that there can be no image.
    pub fn refuse(mut self) {
        // If that fails, others find out for themselves.
        let _ = self.write_row(State::Refused, 0, 0);
        self.release();
    }

    fn write_row(&self, state: State, meta: u32, memory: u64) -> io::Result<()> {
        self.images.write_row(self.index, &Row { state, key: self.key, meta, memory, turn: self.turn })
    }

    fn release(&mut self) {
        self.held = false;
        self.images.used().regions.remove(&self.index);
        let _ = self.images.lock(self.index, libc::F_UNLCK);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.held {
            let _ = self.images.write_row(self.index, &Row::EMPTY);
            self.release();
        }
    }
}

/// An image that no other process changes while this value exists.
#[derive(Debug)]
pub struct ImageFile {
    images: Arc<Images>,
    index: usize,
    meta: usize,
    memory: usize,
    /// The parts that are mapped.
    mapped: OnceCell<Vec<Range<usize>>>,
    /// The memory, to copy from.
    view: OnceCell<mapping::View>,
}

impl ImageFile {
    fn new(images: &Arc<Images>, index: usize, meta: usize, memory: usize) -> Self {
        Self { images: Arc::clone(images), index, meta, memory, mapped: OnceCell::new(), view: OnceCell::new() }
    }

    /// The caller's bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn meta(&self) -> io::Result<Vec<u8>> {
        let mut meta = vec![0; self.meta];
        self.images.file.read_exact_at(&mut meta, start_of(self.index))?;
        Ok(meta)
    }

    /// The size of the memory, in bytes.
    pub fn memory_size(&self) -> usize {
        self.memory
    }

    /// The parts that have been mapped over instances' memories.
    pub fn mapped(&self) -> &[Range<usize>] {
        self.mapped.get().map_or(&[], Vec::as_slice)
    }

    /// How many bytes of these parts an instance has not written: they are the image's own, and shared
    /// by all processes. `memory` is that of the instance.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn shared_in(&self, memory: &[u8]) -> io::Result<usize> {
        let private = pagemap::private_pages(memory)?;
        let overlap = |first: &Range<usize>, second: &Range<usize>| {
            first.end.min(second.end).saturating_sub(first.start.max(second.start))
        };
        let shared = |part: &Range<usize>| part.len() - private.iter().map(|own| overlap(part, own)).sum::<usize>();
        Ok(self.mapped().iter().map(shared).sum())
    }

    /// Maps the parts of the memory over that of an instance, which is as large. The parts are the
    /// same for all instances.
    ///
    /// # Errors
    /// When the process may map no more.
    pub fn map_over<T>(
        &self,
        store: &mut wasmtime::Store<T>,
        memory: wasmtime::Memory,
        extents: &[Range<usize>],
    ) -> io::Result<()> {
        self.mapped.get_or_init(|| extents.to_vec());
        let file = self.images.file.as_fd();
        extents.iter().try_for_each(|extent| {
            let offset = start_of(self.index) + MEMORY + extent.start as u64;
            mapping::map_over(store, memory, extent.clone(), file, offset)
        })
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        let mut used = self.images.used();
        if let Some(count) = used.regions.get_mut(&self.index) {
            *count -= 1;
            if *count == 0 {
                used.regions.remove(&self.index);
                let _ = self.images.lock(self.index, libc::F_UNLCK);
            }
        }
    }
}

/// The parts of an instance's memory that an image must replace: what is not zero, and what a fresh
/// instance has `filled`. The others stay as wasmtime makes them, where a first access costs less.
/// Nobody looks at pages that the instance has never touched: to read them would make them slower to
/// write.
pub fn extents(memory: &[u8], filled: &[Range<usize>]) -> Vec<Range<usize>> {
    let touched = pagemap::private_pages(memory).unwrap_or_else(|_| iter::once(0..memory.len()).collect());
    join(memory.len(), used(memory, &touched, WASM_PAGE), filled)
}

/// The runs of pages, of that size, that have been touched and are not zero.
fn used(memory: &[u8], touched: &[Range<usize>], page_size: usize) -> Vec<Range<usize>> {
    let mut used: Vec<Range<usize>> = Vec::new();
    for range in touched {
        let known = used.last().map_or(0, |last| last.end);
        let (start, end) =
            (range.start / page_size * page_size, range.end.next_multiple_of(page_size).min(memory.len()));
        for start in (start.max(known)..end).step_by(page_size) {
            let page = start..(start + page_size).min(memory.len());
            if !is_zero(&memory[page.clone()]) {
                match used.last_mut() {
                    Some(last) if last.end == page.start => last.end = page.end,
                    _ => used.push(page),
                }
            }
        }
    }
    used
}

/// Whether all bytes are zero. To compare them with zeros takes a twentieth of what it takes to look
/// at one after the other.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; PAGE] = [0; PAGE];
    bytes.chunks(PAGE).all(|bytes| *bytes == ZEROS[..bytes.len()])
}

/// Joins parts of a memory of that size, in whole pages, to no more than [`EXTENTS`].
fn join(size: usize, mut parts: Vec<Range<usize>>, filled: &[Range<usize>]) -> Vec<Range<usize>> {
    let whole = |range: &Range<usize>| {
        let end = range.end.next_multiple_of(WASM_PAGE).min(size);
        range.start / WASM_PAGE * WASM_PAGE..end
    };
    parts.extend(filled.iter().map(whole).filter(|part| !part.is_empty()));
    parts.sort_by_key(|part| part.start);
    let mut extents: Vec<Range<usize>> = Vec::new();
    for part in parts {
        let near = extents.last().is_some_and(|last| part.start <= last.end + GAP);
        let is_full = extents.len() >= EXTENTS;
        match extents.last_mut() {
            Some(last) if near || is_full => last.end = last.end.max(part.end),
            _ => extents.push(part),
        }
    }
    extents
}

/// Says why an image cannot be written, in an operator's words.
pub fn reason(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::ENOMEM) => "there is no memory for an image".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, kill};
    use wasmtime::{Memory, MemoryType, Store};

    use super::*;
    use crate::wasm::compiler::child::{Child, End};
    use crate::wasm::{CompileLimits, Engine, EngineConfig};

    const KEY: Key = [1; 32];
    const OTHER: Key = [2; 32];

    /// A memory of four pages, of which the second is zero.
    fn memory() -> Vec<u8> {
        let mut memory = vec![0; 4 * WASM_PAGE];
        memory[7] = 7;
        memory[2 * WASM_PAGE + 5000] = 8;
        memory[4 * WASM_PAGE - 1] = 9;
        memory
    }

    fn whole() -> Vec<Range<usize>> {
        iter::once(0..4 * WASM_PAGE).collect()
    }

    fn made(images: &Arc<Images>, key: &Key) -> ImageFile {
        images.claim(key).unwrap().fill(&memory(), &whole(), b"meta").unwrap()
    }

    /// Runs a function in another process that has the same file. Returns its code.
    fn in_another_process(images: &Images, run: impl Fn(&Arc<Images>) -> i32) -> End {
        start(images, run).wait(Duration::from_secs(60)).unwrap()
    }

    fn start(images: &Images, run: impl Fn(&Arc<Images>) -> i32) -> Child {
        let run =
            |file: &mut File, _: &_| Ok(run(&Arc::new(Images { file: file.try_clone()?, used: Mutex::default() })));
        Child::start(&images.file, CompileLimits::default(), run).unwrap()
    }

    fn wait_until(what: impl Fn() -> bool) {
        let begun = Instant::now();
        while !what() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn code(found: &Found) -> i32 {
        match found {
            Found::Image(_) => 10,
            Found::Busy => 11,
            Found::Refused => 12,
            Found::Nothing => 13,
        }
    }

    #[test]
    fn an_image_is_found_by_its_key_in_every_process() {
        let images = Images::new().unwrap();
        assert!(matches!(images.find(&KEY), Found::Nothing));
        let made = made(&images, &KEY);
        assert_eq!((made.memory_size(), made.meta().unwrap()), (memory().len(), b"meta".to_vec()));
        assert!(matches!(images.find(&KEY), Found::Image(_)) && matches!(images.find(&OTHER), Found::Nothing));
        assert!(images.claim(&KEY).is_some(), "it may be made again, elsewhere");
        let found = in_another_process(&images, |images| match images.find(&KEY) {
            Found::Image(image) => i32::from(image.meta().unwrap() == b"meta"),
            found => code(&found),
        });
        assert!(matches!(found, End::Code(1)));
    }

    #[test]
    fn a_memory_is_mapped_privately() {
        let images = Images::new().unwrap();
        let image = made(&images, &KEY);
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        for _ in 0..2 {
            let mut store = Store::new(engine.wasmtime(), ());
            let mapped = Memory::new(&mut store, MemoryType::new(4, None)).unwrap();
            image.map_over(&mut store, mapped, &whole()).unwrap();
            assert!(mapped.data(&store) == memory());
            assert_eq!(image.shared_in(mapped.data(&store)).unwrap(), 4 * WASM_PAGE, "nothing is written yet");
            mapped.data_mut(&mut store)[7] = 1;
            assert_eq!(image.shared_in(mapped.data(&store)).unwrap(), 4 * WASM_PAGE - PAGE, "the page is a copy");
            mapped.grow(&mut store, 1).unwrap();
            assert_eq!((mapped.data(&store)[7], mapped.data(&store)[4 * WASM_PAGE]), (1, 0));
        }
        let mut store = Store::new(engine.wasmtime(), ());
        let small = Memory::new(&mut store, MemoryType::new(3, None)).unwrap();
        image.map_over(&mut store, small, &whole()).unwrap_err();
    }

    #[test]
    fn only_one_process_makes_an_image() {
        let images = Images::new().unwrap();
        let claim = images.claim(&KEY).unwrap();
        let another = |images: &Arc<Images>| if images.claim(&KEY).is_none() { code(&images.find(&KEY)) } else { 1 };
        assert!(matches!(in_another_process(&images, another), End::Code(11)), "it is busy");
        let waiting = start(&images, |images| code(&images.wait_for(&KEY, Duration::from_secs(60))));
        let image = claim.fill(&memory(), &whole(), b"").unwrap();
        assert!(matches!(waiting.wait(Duration::from_secs(60)).unwrap(), End::Code(10)), "it was waited for");
        drop(image);
        images.claim(&OTHER).unwrap().refuse();
        let another = |images: &Arc<Images>| code(&images.find(&OTHER));
        assert!(matches!(in_another_process(&images, another), End::Code(12)), "it was refused");
    }

    #[test]
    fn a_claim_ends_with_its_process() {
        let images = Images::new().unwrap();
        let child = start(&images, |images| {
            let _claim = images.claim(&KEY).unwrap();
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        wait_until(|| matches!(images.find(&KEY), Found::Busy));
        kill(child.pid(), Signal::SIGKILL).unwrap();
        wait_until(|| matches!(images.find(&KEY), Found::Nothing));
        drop(made(&images, &KEY));
        drop(child);
    }

    #[test]
    fn two_images_are_made_at_once_in_one_process() {
        let images = Images::new().unwrap();
        let claims = [images.claim(&KEY).unwrap(), images.claim(&OTHER).unwrap()];
        let made = claims.map(|claim| claim.fill(&memory(), &whole(), &[1]).unwrap());
        assert_ne!(made[0].index, made[1].index);
        assert!([KEY, OTHER].iter().all(|key| matches!(images.find(key), Found::Image(_))));
    }

    #[test]
    fn a_claim_that_is_given_up_leaves_nothing() {
        let images = Images::new().unwrap();
        drop(images.claim(&KEY).unwrap());
        assert!(matches!(images.find(&KEY), Found::Nothing));
        let too_much = vec![0; META + 1];
        images.claim(&KEY).unwrap().fill(&memory(), &whole(), &too_much).unwrap_err();
        assert!(matches!(images.find(&KEY), Found::Nothing));
    }

    #[test]
    fn what_is_in_use_is_not_given_away() {
        let images = Images::new().unwrap();
        let key = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            key
        };
        let mut used: Vec<_> = (1..=REGIONS).map(|number| made(&images, &key(number))).collect();
        assert!(images.claim(&KEY).is_none(), "all are in use");
        let another = |images: &Arc<Images>| i32::from(images.claim(&KEY).is_some());
        assert!(matches!(in_another_process(&images, another), End::Code(0)), "elsewhere, too");
        drop(used.pop());
        drop(made(&images, &KEY));
        assert!(matches!(images.find(&KEY), Found::Image(_)));
        assert!(matches!(images.find(&key(REGIONS)), Found::Nothing), "it gave way");
        assert!(matches!(images.find(&key(1)), Found::Image(_)));
    }

    #[test]
    fn of_images_that_nobody_uses_the_oldest_go() {
        let images = Images::new().unwrap();
        let large = vec![0; (UNUSED / 2) as usize];
        let make = |number: u8| drop(images.claim(&[number; 32]).unwrap().fill(&large, &[], b"meta").unwrap());
        let there = |number: u8| matches!(images.find(&[number; 32]), Found::Image(_));
        (1..=4).for_each(make);
        assert_eq!([1, 2, 3, 4].map(there), [false, true, true, true]);
        let Found::Image(used) = images.find(&[2; 32]) else { panic!("it is not there") };
        (5..=6).for_each(make);
        assert_eq!([2, 3, 4, 5, 6].map(there), [true, false, true, true, true], "one that is used stays");
        drop(used);
        make(7);
        assert_eq!([2, 4, 5, 6, 7].map(there), [false, false, true, true, true]);
    }

    #[test]
    fn a_row_that_lies_is_not_believed() {
        let images = Images::new().unwrap();
        for (meta, memory) in [(u32::MAX, 0), (0, 1 << 33)] {
            images.write_row(0, &Row { state: State::Ready, key: KEY, meta, memory, turn: 1 }).unwrap();
            assert!(matches!(images.find(&KEY), Found::Nothing));
        }
    }

    #[test]
    fn nobody_shortens_the_file() {
        let images = Images::new().unwrap();
        images.file.set_len(0).unwrap_err();
    }

    #[test]
    fn extents_cover_what_a_fresh_instance_has_and_what_is_not_zero() {
        let extents = |memory: &[u8], filled: &[Range<usize>]| {
            let pages = |extent: Range<usize>| (extent.start / WASM_PAGE, extent.end / WASM_PAGE);
            extents(memory, filled).into_iter().map(pages).collect::<Vec<_>>()
        };
        assert_eq!(extents(&memory(), &[]), [(0, 4)]);
        let mut large = vec![0; 64 * WASM_PAGE];
        large[40 * WASM_PAGE] = 1;
        let filled = [20 * WASM_PAGE + 5..20 * WASM_PAGE + 6, 63 * WASM_PAGE..usize::MAX - WASM_PAGE];
        assert_eq!(extents(&large, &filled[..1]), [(20, 21), (40, 41)]);
        assert_eq!(extents(&large, &filled), [(20, 21), (40, 41), (63, 64)]);
        // From some number on, parts are mapped as one.
        let mut scattered = vec![0; 20 * EXTENTS * WASM_PAGE];
        for part in 0..2 * EXTENTS {
            scattered[10 * part * WASM_PAGE] = 1;
        }
        let found = extents(&scattered, &[]);
        assert_eq!((found.len(), found[EXTENTS - 1].1), (EXTENTS, 10 * (2 * EXTENTS - 1) + 1));
    }

    #[test]
    fn pages_that_nobody_touched_are_not_looked_at() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        let mut store = Store::new(engine.wasmtime(), ());
        let memory = Memory::new(&mut store, MemoryType::new(64, None)).unwrap();
        for page in [3, 40] {
            memory.data_mut(&mut store)[page * WASM_PAGE + 5] = 1;
        }
        let touched = |store: &Store<()>| pagemap::private_pages(memory.data(store)).unwrap();
        let before = touched(&store);
        assert_eq!(before.iter().map(|pages| pages.start / WASM_PAGE).collect::<Vec<_>>(), [3, 40]);
        assert_eq!(extents(memory.data(&store), &[]), [3 * WASM_PAGE..4 * WASM_PAGE, 40 * WASM_PAGE..41 * WASM_PAGE]);
        let after: usize = touched(&store).iter().map(ExactSizeIterator::len).sum();
        assert!(after <= 2 * WASM_PAGE);
    }

    #[test]
    fn a_process_that_has_ended_holds_nothing() {
        let images = Images::new().unwrap();
        let first = in_another_process(&images, |images| {
            std::mem::forget(made(images, &KEY));
            1
        });
        assert!(matches!(first, End::Code(_)));
        assert!(images.is_free(0));
        assert!(matches!(images.find(&KEY), Found::Image(_)), "and what it made stays");
    }
}
