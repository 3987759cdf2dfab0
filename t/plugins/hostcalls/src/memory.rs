//! The allocator that the host calls, and what the host returns through it.
//!
//! It keeps books: memory that was never handed out, returned twice or overrun is a fault of the host, and a panic here.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr::{null_mut, with_exposed_provenance_mut};

/// How `proxy_on_memory_allocate` behaves; the step `allocator` sets it.
#[derive(Clone, Copy, PartialEq)]
pub enum Allocator {
    Ok,
    /// Fails: returns 0.
    Null,
    /// Returns the address past the last byte.
    Wild,
    /// Grows the memory first, so that the host's view of it is stale.
    Grow,
    Trap,
}

thread_local! {
    static ALLOCATOR: Cell<Allocator> = const { Cell::new(Allocator::Ok) };
    static GIVEN: RefCell<HashMap<u32, u32>> = RefCell::default();
}

const PAGE: usize = 65536;

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: u32) -> *mut u8 {
    match ALLOCATOR.get() {
        Allocator::Ok => {}
        Allocator::Null => return null_mut(),
        Allocator::Wild => return with_exposed_provenance_mut(end() as usize),
        Allocator::Grow => _ = core::arch::wasm32::memory_grow(0, 1),
        Allocator::Trap => core::arch::wasm32::unreachable(),
    }
    // Standard Go's SDK traps on it, so no host may ask.
    assert_ne!(size, 0, "the host asked for 0 bytes");
    // SAFETY: the layout is not empty.
    let data = unsafe { alloc(layout(size)) };
    if !data.is_null() {
        GIVEN.with_borrow_mut(|given| given.insert(address(data), size));
    }
    data
}

fn layout(size: u32) -> Layout {
    Layout::array::<u8>(size as usize).expect("the host asked for more than half the memory")
}

pub fn set_allocator(allocator: Allocator) {
    ALLOCATOR.set(allocator);
}

/// Buffers handed out and not returned yet.
pub fn given() -> usize {
    GIVEN.with_borrow(HashMap::len)
}

/// The address past the last byte of the memory.
pub fn end() -> u32 {
    (core::arch::wasm32::memory_size(0) * PAGE) as u32
}

pub fn address<T>(pointer: *const T) -> u32 {
    pointer.expose_provenance() as u32
}

/// A number that the host writes.
#[derive(Default)]
pub struct Slot<T>(Cell<T>);

impl<T: Copy> Slot<T> {
    pub fn address(&self) -> u32 {
        address(self.0.as_ptr())
    }

    pub fn get(&self) -> T {
        self.0.get()
    }
}

/// A buffer that the host allocates here and hands over.
#[derive(Default)]
pub struct Returned {
    pub data: Slot<u32>,
    pub size: Slot<u32>,
}

impl Returned {
    /// The bytes. A null address is no bytes.
    pub fn take(&self) -> Vec<u8> {
        let (data, size) = (self.data.get(), self.size.get());
        if data == 0 {
            assert_eq!(size, 0, "the host returned {size} bytes at address 0");
            return Vec::new();
        }
        let given = GIVEN.with_borrow_mut(|given| given.remove(&data));
        let given = given.unwrap_or_else(|| panic!("the host returned {data:#x}, which it never allocated"));
        assert!(size <= given, "the host returned {size} bytes in a buffer of {given}");
        let pointer = with_exposed_provenance_mut::<u8>(data as usize);
        // SAFETY: `proxy_on_memory_allocate` handed out `given` bytes there, and the books say they have not come back.
        unsafe {
            let bytes = std::slice::from_raw_parts(pointer, size as usize).to_vec();
            dealloc(pointer, layout(given));
            bytes
        }
    }
}
