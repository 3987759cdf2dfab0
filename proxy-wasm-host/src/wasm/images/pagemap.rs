//! Which pages of this process's memory have been touched, as Linux tells in `/proc/self/pagemap`.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use nix::unistd::{SysconfVar, sysconf};

/// Bytes of an entry.
const ENTRY: usize = 8;

/// The page is in memory.
const PRESENT: u64 = 1 << 63;
/// The page is in the swap.
const SWAPPED: u64 = 1 << 62;
/// The page is a file's, or shared.
const SHARED: u64 = 1 << 61;

/// The parts of some bytes whose pages this process has to itself, counted from the first byte. All
/// that it has written is among them.
///
/// # Errors
/// When the system does not tell.
pub fn private_pages(bytes: &[u8]) -> io::Result<Vec<Range<usize>>> {
    let page_size = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| usize::try_from(size).ok());
    let page_size = page_size.ok_or_else(|| io::Error::other("the size of pages is not known"))?;
    let (first, before) = (bytes.as_ptr().addr() / page_size, bytes.as_ptr().addr() % page_size);
    let mut entries = vec![0; (before + bytes.len()).div_ceil(page_size) * ENTRY];
    File::open("/proc/self/pagemap")?.read_exact_at(&mut entries, (first * ENTRY) as u64)?;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, entry) in entries.as_chunks::<ENTRY>().0.iter().enumerate() {
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
