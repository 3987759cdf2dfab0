//! The clock for plugin deadlines, without a second thread. In a process with a second thread, libc
//! locks in `malloc` and makes every system call cancellable, and each request of nginx's would pay
//! for it.
//!
//! A timer on the processor time of nginx's thread sends that thread a signal, whose handler
//! advances the clock, and interrupts the guest that runs if its time is over. So nothing happens
//! while nginx waits, and the signal hardly ever interrupts a system call that waits; if it does,
//! libc or nginx calls again. Child processes do not inherit timers.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::{io, ptr};

use ngx_bindings::event;
use nix::errno::Errno;
use nix::libc::{self, siginfo_t};
use nix::sys::signal::{self, SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd;
use parking_lot::Mutex;
use proxy_wasm_host::wasm::interrupt;
use proxy_wasm_host::wasm::ticker::{Clock, TickSource};

/// The signals that may be taken, the best first. SIGURG is, for the same reasons as in Go's runtime:
/// nobody uses it, one that comes unasked means nothing, a process that does not know it ignores it,
/// and debuggers pass it on. The others are hardly ever used.
const SIGNALS: [Signal; 3] = [Signal::SIGURG, Signal::SIGSTKFLT, Signal::SIGVTALRM];

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// The target of a timer's signals. It does nothing before there is a timer, and after it has gone.
#[derive(Default)]
struct SignalTarget(RefCell<Option<ArmedTimer>>);

/// A timer, and the clock that it advances.
struct ArmedTimer {
    clock: Clock,
    timer: Timer,
}

// SAFETY: nginx's thread alone starts, arms and ends the timer, and is what its signal interrupts.
unsafe impl Sync for SignalTarget {}

/// Targets without a timer. They are kept for reuse, because a signal may still be on its way when
/// its timer is deleted.
static IDLE: Mutex<Vec<&'static SignalTarget>> = Mutex::new(Vec::new());

/// The tick source of this thread.
struct CpuTimer(&'static SignalTarget);

/// Starts the timer on the calling thread, which must be the one that guests run in.
///
/// # Errors
/// If other code handles all signals, or the kernel cannot make a timer.
pub fn start(clock: Clock) -> io::Result<Box<dyn TickSource>> {
    let (signal, _) = take_signal()?;
    let source = CpuTimer(IDLE.lock().pop().unwrap_or_else(|| Box::leak(Box::default())));
    let target = source.0;
    let to_this_thread = SigEvent::new(SigevNotify::SigevThreadId {
        signal,
        thread_id: unistd::gettid().as_raw(),
        si_value: std::ptr::from_ref(target).expose_provenance().cast_signed(),
    });
    let timer = Timer::new(ClockId::CLOCK_THREAD_CPUTIME_ID, to_this_thread)?;
    *target.0.borrow_mut() = Some(ArmedTimer { clock, timer });
    target.arm()?;
    Ok(Box::new(source))
}

/// Finds out whether this thread can have a signal, and a timer. Leaves no handler behind.
///
/// # Errors
/// If other code handles all signals, or the kernel cannot make a timer.
pub fn try_out() -> io::Result<()> {
    let (signal, before) = take_signal()?;
    // SAFETY: as it was.
    unsafe { signal::sigaction(signal, &before)? };
    Timer::new(ClockId::CLOCK_THREAD_CPUTIME_ID, SigEvent::new(SigevNotify::SigevNone))?;
    Ok(())
}

impl SignalTarget {
    fn arm(&self) -> Result<(), Errno> {
        match &mut *self.0.borrow_mut() {
            Some(ArmedTimer { clock, timer }) => {
                timer.set(Expiration::Interval(clock.period().into()), TimerSetTimeFlags::empty())
            }
            None => Ok(()),
        }
    }

    /// Advances the clock by a period. It is more than one if the thread could not take signals, or
    /// the kernel checks the time less often.
    fn tick(&self) {
        // The borrow fails while the timer is armed anew, which begins a new period anyway.
        let Ok(armed) = self.0.try_borrow() else { return };
        if let Some(ArmedTimer { clock, timer }) = &*armed {
            clock.advance(1 + u64::try_from(timer.overruns()).unwrap_or(0));
        }
    }
}

impl TickSource for CpuTimer {
    fn shorten_period(&self) {
        // Cannot fail: the timer exists, and the time is valid.
        let _ = self.0.arm();
    }
}

impl Drop for CpuTimer {
    fn drop(&mut self) {
        drop(self.0.0.take());
        IDLE.lock().push(self.0);
    }
}

/// Installs the handler of a signal for which no other code has one. Returns what was there before.
fn take_signal() -> io::Result<(Signal, SigAction)> {
    let ours =
        SigAction::new(SigHandler::SigAction(on_signal), SaFlags::SA_SIGINFO | SaFlags::SA_RESTART, SigSet::empty());
    for signal in SIGNALS {
        // SAFETY: the handler does only what a signal handler may.
        let before = unsafe { signal::sigaction(signal, &ours)? };
        let is_free = match before.handler() {
            SigHandler::SigDfl | SigHandler::SigIgn => true,
            SigHandler::SigAction(handler) => ptr::fn_addr_eq(handler, on_signal as Handler),
            SigHandler::Handler(_) => false,
        };
        if is_free {
            return Ok((signal, before));
        }
        // SAFETY: as it was.
        unsafe { signal::sigaction(signal, &before)? };
    }
    Err(io::Error::other("other code handles SIGURG, SIGSTKFLT and SIGVTALRM"))
}

/// Without a guard: a signal handler does not panic, and must not log.
extern "C" fn on_signal(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `info`.
    let info = unsafe { &*info };
    if info.si_code == libc::SI_TIMER {
        // SAFETY: a timer's signal carries a value.
        let value = unsafe { info.si_value() };
        // SAFETY: the value that the timer was made with is a target, and targets are never freed.
        let target: &SignalTarget = unsafe { &*value.sival_ptr.cast() };
        target.tick();
        // SAFETY: a timer's signal interrupted nginx's thread, on which guests run; one that comes
        // unasked may come to another. This is the context that the kernel passed to its handler.
        unsafe { interrupt::interrupt(context.cast()) };
    }
    event::set_timer_alarm();
}
