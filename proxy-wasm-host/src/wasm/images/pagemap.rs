//! Which pages of this process's memory have been touched, as Linux tells in `/proc/self/pagemap`.

use std::cell::RefCell;
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process;

use nix::unistd::{SysconfVar, sysconf};

/// Bytes of an entry.
const ENTRY: usize = 8;

/// The page is in memory.
const PRESENT: u64 = 1 << 63;
/// The page is in the swap.
const SWAPPED: u64 = 1 << 62;
/// The page is a file's, or shared.
const SHARED: u64 = 1 << 61;

/// Pages that are written to see whether the system says so.
const TRIALS: usize = 4;

thread_local! {
    /// What this process has of the file. That of a parent tells of the parent.
    static OPENED: RefCell<Option<(u32, Opened)>> = const { RefCell::new(None) };
}

enum Opened {
    /// The system does not tell, or not the truth.
    Never,
    /// Nobody has tried yet whether the system tells the truth.
    Untried(PageMap),
    Tried(PageMap),
}

/// The file, open.
struct PageMap {
    file: File,
    page_size: usize,
    /// A buffer, kept for its capacity.
    entries: Vec<u8>,
}

/// The parts of some bytes whose pages this process has to itself, counted from the first byte. All
/// that it has written is among them.
///
/// # Errors
/// When the system does not tell.
pub fn private_pages(bytes: &[u8]) -> io::Result<Vec<Range<usize>>> {
    with_opened(|opened| match opened {
        Opened::Never => Err(never()),
        Opened::Untried(map) | Opened::Tried(map) => map.private_pages(bytes),
    })
}

/// Does the same as [`private_pages`], where nothing that was written may be missing. So it is tried
/// once in each process, with some pages of these bytes.
///
/// # Errors
/// When the system does not tell, or not the truth.
pub fn written_pages(bytes: &mut [u8]) -> io::Result<Vec<Range<usize>>> {
    with_opened(|opened| {
        if let Opened::Untried(map) = opened {
            let tells_all = map.tells_all(bytes)?;
            *opened = match std::mem::replace(opened, Opened::Never) {
                Opened::Untried(map) if tells_all => Opened::Tried(map),
                _ => Opened::Never,
            };
        }
        match opened {
            Opened::Tried(map) => map.private_pages(bytes),
            Opened::Never | Opened::Untried(_) => Err(never()),
        }
    })
}

/// Makes this thread believe that the system does not tell.
#[cfg(test)]
pub fn forget() {
    OPENED.set(Some((process::id(), Opened::Never)));
}

fn never() -> io::Error {
    io::Error::other("the system does not say which pages were written")
}

fn with_opened<R>(run: impl FnOnce(&mut Opened) -> R) -> R {
    OPENED.with_borrow_mut(|opened| {
        let process = process::id();
        let (_, opened) = match opened.take_if(|(of, _)| *of == process) {
            Some(known) => opened.insert(known),
            None => opened.insert((process, PageMap::open().map_or(Opened::Never, Opened::Untried))),
        };
        run(opened)
    })
}

impl PageMap {
    fn open() -> io::Result<Self> {
        let page_size = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| usize::try_from(size).ok());
        let page_size = page_size.ok_or_else(|| io::Error::other("the size of pages is not known"))?;
        Ok(Self { file: File::open("/proc/self/pagemap")?, page_size, entries: Vec::new() })
    }

    fn private_pages(&mut self, bytes: &[u8]) -> io::Result<Vec<Range<usize>>> {
        let page_size = self.page_size;
        let (first, before) = (bytes.as_ptr().addr() / page_size, bytes.as_ptr().addr() % page_size);
        self.entries.resize((before + bytes.len()).div_ceil(page_size) * ENTRY, 0);
        self.file.read_exact_at(&mut self.entries, (first * ENTRY) as u64)?;
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (index, entry) in self.entries.as_chunks::<ENTRY>().0.iter().enumerate() {
            let entry = u64::from_le_bytes(*entry);
            let is_private = entry & SWAPPED != 0 || entry & (PRESENT | SHARED) == PRESENT;
            if !is_private {
                continue;
            }
            let start = (index * page_size).saturating_sub(before);
            let end = ((index + 1) * page_size - before).min(bytes.len());
            match runs.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => runs.push(start..end),
            }
        }
        Ok(runs)
    }

    /// Whether pages that were just written are told.
    fn tells_all(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let places: Vec<usize> =
            (0..TRIALS).map(|trial| bytes.len().saturating_sub(1) * trial / (TRIALS - 1)).collect();
        for place in &places {
            // Written with the value that it has. The compiler does not know that it has it.
            let value = bytes.get(*place).copied().unwrap_or_default();
            bytes.iter_mut().skip(*place).take(1).for_each(|byte| *byte = black_box(value));
        }
        let runs = self.private_pages(bytes)?;
        Ok(!bytes.is_empty() && places.iter().all(|place| runs.iter().any(|run| run.contains(place))))
    }
}
