//! Makes a memory that a guest has used as it was when an image was mapped over it.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use super::mapping::View;
use super::{ImageFile, MEMORY, PAGE, is_zero, pagemap, start_of};

impl ImageFile {
    /// Makes a memory that this image was mapped over, in these parts, as it was then: the pages that
    /// have been written since get the image's bytes. They stay copies, which costs less than to map
    /// them again and copy them when they are next written. Returns how many bytes they are; if they
    /// are more than `limit`, it does nothing.
    ///
    /// # Errors
    /// When the memory has another size, or the system does not say what was written. The memory may
    /// then be neither as it was nor as it is now.
    pub fn write_over<T>(
        &self,
        store: &mut wasmtime::Store<T>,
        memory: wasmtime::Memory,
        extents: &[Range<usize>],
        limit: usize,
    ) -> io::Result<usize> {
        let bytes = memory.data_mut(store);
        if bytes.len() != self.memory {
            return Err(io::Error::other("the memory is not as large as its image"));
        }
        let runs = pagemap::written_pages(bytes)?;
        let size = runs.iter().map(ExactSizeIterator::len).sum();
        if size > limit {
            return Ok(size);
        }
        let view = self.view()?;
        for run in &runs {
            write_over_run(bytes, run, extents, view)?;
        }
        Ok(size)
    }

    /// The image's memory, mapped when it is first needed. To read a file for each run of pages takes
    /// twice as long as to copy them.
    fn view(&self) -> io::Result<&View> {
        if let Some(view) = self.view.get() {
            return Ok(view);
        }
        let view = View::of(self.images.file.as_fd(), start_of(self.index) + MEMORY, self.memory)?;
        Ok(self.view.get_or_init(|| view))
    }
}

fn write_over_run(bytes: &mut [u8], run: &Range<usize>, extents: &[Range<usize>], view: &View) -> io::Result<()> {
    let mut at = run.start;
    for extent in extents.iter().filter(|extent| extent.start < run.end && run.start < extent.end) {
        let (start, end) = (at.max(extent.start), run.end.min(extent.end));
        clear(&mut bytes[at..start]);
        view.copy(start, &mut bytes[start..end])?;
        at = end;
    }
    clear(&mut bytes[at..run.end]);
    Ok(())
}

/// Makes bytes zero. Pages that have only been read are zero already, and take no memory until they
/// are written.
fn clear(bytes: &mut [u8]) {
    for page in bytes.chunks_mut(PAGE).filter(|page| !is_zero(page)) {
        page.fill(0);
    }
}
