//! The clock for plugin deadlines, without a second thread. In a process with a second thread, libc
//! locks in `malloc` and makes every system call cancellable, and each request of nginx's would pay
//! for it.
//!
//! A timer on the processor time of nginx's thread sends that thread a signal, whose handler
//! advances the engine's epoch. So nothing happens while nginx waits, and the signal hardly ever
//! interrupts a system call that waits; if it does, libc or nginx calls again. The signal is
//! SIGURG, for the same reasons as in Go's runtime: nobody uses it, one that comes unasked means
//! nothing, a process that does not know it ignores it, and debuggers pass it on. Child processes
//! do not inherit timers.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::io;

use ngx_bindings::event;
use nix::errno::Errno;
use nix::libc::{self, siginfo_t};
use nix::sys::signal::{self, SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd;
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use proxy_wasm_host::wasm::ticker::{Clock, TickSource};

const SIGNAL: Signal = Signal::SIGURG;

/// Set when this process, or one that it was forked from, has installed the signal's handler.
static TAKEN: OnceCell<()> = OnceCell::new();

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
/// If other code handles the signal, or the kernel cannot make a timer.
pub fn start(clock: Clock) -> io::Result<Box<dyn TickSource>> {
    TAKEN.get_or_try_init(take_signal)?;
    let source = CpuTimer(IDLE.lock().pop().unwrap_or_else(|| Box::leak(Box::default())));
    let target = source.0;
    let to_this_thread = SigEvent::new(SigevNotify::SigevThreadId {
        signal: SIGNAL,
        thread_id: unistd::gettid().as_raw(),
        si_value: std::ptr::from_ref(target).expose_provenance().cast_signed(),
    });
    let timer = Timer::new(ClockId::CLOCK_THREAD_CPUTIME_ID, to_this_thread)?;
    *target.0.borrow_mut() = Some(ArmedTimer { clock, timer });
    target.arm()?;
    Ok(Box::new(source))
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

/// Installs the signal's handler, unless other code has one.
fn take_signal() -> io::Result<()> {
    let ours =
        SigAction::new(SigHandler::SigAction(on_signal), SaFlags::SA_SIGINFO | SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does only what a signal handler may.
    let before = unsafe { signal::sigaction(SIGNAL, &ours)? };
    if matches!(before.handler(), SigHandler::SigDfl | SigHandler::SigIgn) {
        return Ok(());
    }
    // SAFETY: as it was.
    unsafe { signal::sigaction(SIGNAL, &before)? };
    Err(io::Error::other("somebody else handles SIGURG"))
}

/// Without a guard: a signal handler does not panic, and must not log.
extern "C" fn on_signal(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a valid `info`.
    let info = unsafe { &*info };
    if info.si_code == libc::SI_TIMER {
        // SAFETY: a timer's signal carries a value.
        let value = unsafe { info.si_value() };
        // SAFETY: the value that the timer was made with is a target, and targets are never freed.
        let target: &SignalTarget = unsafe { &*value.sival_ptr.cast() };
        target.tick();
    }
    event::set_timer_alarm();
}
