//! Interrupts a guest at any instruction, from a signal handler, when its deadline has passed.
//! Nothing is compiled into guests for it.
//!
//! The host tells [`Deadline::begin`] until when a guest may run, and a tick source advances the
//! clock. Its signal handler calls [`interrupt`], which looks at the instruction that the signal
//! came at. If that is one of a guest's functions, the handler makes it look as if the function had
//! called one of this host that traps: wasmtime sees an ordinary trap, and unwinds the
//! stack by its frame pointers. A guest's function can be left at any instruction, because nothing
//! of the host's is half done in it: it changes its own instance only, which is thrown away.
//!
//! If the signal came at code of the host, that code runs on, until it comes back to a guest: there
//! a barrier stops it. The host's code returns to a guest through a trampoline, which is made
//! to return to the trap instead.
//!
//! Clock and deadline are those of one thread, as nginx's workers have it. On another one, guests
//! have no deadlines.

mod barrier;
mod code;
mod registers;
mod trap;
#[cfg(feature = "files")]
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::libc::ucontext_t;
#[cfg(feature = "files")]
use wasmtime::Trap;

use crate::error::Error;

use code::Place;
pub(super) use code::Registered;
#[cfg(feature = "files")]
pub(super) use waiting::Waiting;

/// Ticks that never pass.
const NEVER: u64 = u64::MAX;

/// The clock, in milliseconds.
static NOW: AtomicU64 = AtomicU64::new(0);

/// When the time of the guest that runs is over.
static DUE: AtomicU64 = AtomicU64::new(NEVER);

/// Whether a guest was interrupted, and nobody has asked yet.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// When the time of a guest is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(u64);

impl Deadline {
    /// No time is too long.
    pub const NONE: Self = Self(NEVER);

    /// The deadline after so many ticks from now.
    #[inline]
    pub fn after(ticks: u64) -> Self {
        Self(NOW.load(Ordering::Relaxed).saturating_add(ticks))
    }

    /// Makes this the deadline of the guest that is called next. Returns the one before, which
    /// applies again when that guest has returned.
    #[inline]
    pub fn begin(self) -> Self {
        // Two operations: only a signal on this thread comes between them, and it leaves both.
        let before = DUE.load(Ordering::Relaxed);
        DUE.store(self.0, Ordering::Relaxed);
        Self(before)
    }
}

/// Runs guests with a deadline of so many ticks.
pub fn within<R>(ticks: u64, run: impl FnOnce() -> R) -> R {
    let outer = Deadline::after(ticks).begin();
    let result = run();
    outer.begin();
    result
}

/// Makes what interrupts guests. A process that forks calls this first.
///
/// # Errors
/// When the machine does not support it.
pub(super) fn prepare() -> Result<(), Error> {
    trap::prepare()?;
    barrier::prepare().map_err(|error| Error::Engine(error.into()))
}

/// Returns whether the time of the guest is over.
#[inline]
pub fn is_due() -> bool {
    NOW.load(Ordering::Relaxed) >= DUE.load(Ordering::Relaxed)
}

/// Lets a host function end the guest's call, if its time is over.
///
/// # Errors
/// The trap of a guest that was interrupted.
#[cfg(feature = "files")]
pub(super) fn check() -> Result<(), Trap> {
    if !is_due() {
        return Ok(());
    }
    // What this call does until it has ended is the host's.
    DUE.store(NEVER, Ordering::Relaxed);
    Err(Trap::Interrupt)
}

/// Returns whether the guest that has just trapped was interrupted here.
pub fn was_interrupted() -> bool {
    INTERRUPTED.swap(false, Ordering::Relaxed)
}

/// Advances the clock.
pub(super) fn advance(ticks: u64) {
    NOW.fetch_add(ticks, Ordering::Relaxed);
}

/// Interrupts the guest, if its time is over: now, or when the code of the host that runs comes back
/// to it. A signal handler may call this.
///
/// # Safety
///
/// The context is what the kernel passed to the handler of a signal that interrupted the thread on
/// which guests run.
#[allow(unsafe_code)]
pub unsafe fn interrupt(context: *mut ucontext_t) {
    if !is_due() {
        return;
    }
    // SAFETY: the kernel passes a valid context, and nobody else has it.
    let context = unsafe { &mut *context };
    match code::place(registers::program_counter(context)) {
        Place::Function => trap_in_function(context),
        Place::Host => barrier::raise(),
        // It may not have a frame yet, or not any more: the next signal tries again.
        Place::Trampoline => {}
    }
}

/// Interrupts the guest that the host's code has come back to, if its time is still over.
fn came_back(context: &mut ucontext_t) {
    if !is_due() {
        return;
    }
    match code::place(registers::program_counter(context)) {
        Place::Function => trap_in_function(context),
        Place::Trampoline => trap_behind_trampoline(context),
        // The fault was another one.
        Place::Host => {}
    }
}

/// Makes the function of a guest trap that the thread is in. At the few instructions where it cannot
/// be unwound, the next signal tries again.
fn trap_in_function(context: &mut ucontext_t) {
    let Some(trap) = trap::addresses() else { return };
    // SAFETY: the thread is in a guest's function.
    #[allow(unsafe_code)]
    if !unsafe { registers::has_frame(context) } {
        return;
    }
    interrupted();
    // SAFETY: the thread is in a guest's function, as above, and the trap does not return.
    #[allow(unsafe_code)]
    unsafe {
        registers::call(context, trap.function)
    };
}

/// Makes the guest trap when the trampoline returns that the thread has come back to. If it has
/// come to one that begins, or that returns to the host, the guest is interrupted another time.
fn trap_behind_trampoline(context: &mut ucontext_t) {
    let Some(trap) = trap::addresses() else { return };
    // SAFETY: the thread has come to a trampoline of a guest.
    #[allow(unsafe_code)]
    let Some(return_address) = (unsafe { registers::return_address(context) }) else { return };
    if code::place(*return_address) == Place::Function {
        interrupted();
        *return_address = trap.instruction;
    }
}

fn interrupted() {
    INTERRUPTED.store(true, Ordering::Relaxed);
    DUE.store(NEVER, Ordering::Relaxed);
}
