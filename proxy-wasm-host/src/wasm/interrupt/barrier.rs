//! Stops a thread that runs code of the host when it comes back to a guest's.
//!
//! The barrier is up when the code of guests may not be executed. wasmtime's own work for a guest,
//! such as filling its memory, takes nearly all the time of a guest that does nothing else: a signal
//! hardly ever comes between two pieces of that work. With the barrier up, the thread faults at the
//! first instruction that belongs to a guest.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, mem, ptr};

use nix::libc::{self, siginfo_t, ucontext_t};
use once_cell::sync::OnceCell;

use super::code;

static UP: AtomicBool = AtomicBool::new(false);

/// The handler of faults that was there before: wasmtime's.
static BEFORE: OnceCell<libc::sigaction> = OnceCell::new();

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// Takes the signal of faults. wasmtime's handler must be there already, and gets all other faults.
///
/// # Errors
/// When the signal cannot be taken.
#[allow(unsafe_code)]
pub fn prepare() -> io::Result<()> {
    BEFORE.get_or_try_init(|| {
        // SAFETY: zeros are a valid value of the structure, and it is filled below.
        let mut before: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: the pointers are valid or null.
        let done = unsafe { libc::sigaction(libc::SIGSEGV, ptr::null(), &mut before) };
        if done != 0 || before.sa_flags & libc::SA_SIGINFO == 0 {
            return Err(io::Error::other("wasmtime does not handle faults"));
        }
        let ours = libc::sigaction { sa_sigaction: on_fault as Handler as usize, ..before };
        // SAFETY: the handler does only what a signal handler may, and is called as wasmtime's is.
        let done = unsafe { libc::sigaction(libc::SIGSEGV, &ours, ptr::null_mut()) };
        if done == 0 { Ok(before) } else { Err(io::Error::last_os_error()) }
    })?;
    Ok(())
}

/// Lets the code of guests not be executed. A signal handler may call this.
pub fn raise() {
    if BEFORE.get().is_some() && !UP.load(Ordering::Relaxed) {
        UP.store(code::protect(code::NOT_EXECUTED), Ordering::Relaxed);
    }
}

/// Without a guard: a signal handler does not panic, and must not log.
extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    if UP.load(Ordering::Relaxed) {
        // In this order: a signal that comes between raises nothing.
        code::protect(code::EXECUTED);
        UP.store(false, Ordering::Relaxed);
        // SAFETY: the kernel passes a valid context, and nobody else has it.
        #[allow(unsafe_code)]
        let context = unsafe { &mut *context.cast::<ucontext_t>() };
        // A fault for another reason happens again.
        return super::came_back(context);
    }
    if let Some(before) = BEFORE.get() {
        // SAFETY: it is a handler that takes three arguments, as its flags say.
        #[allow(unsafe_code)]
        let handler = unsafe { mem::transmute::<usize, Handler>(before.sa_sigaction) };
        handler(signal, info, context);
    }
}
