//! Interrupts guests behind any of their instructions. A timer's signals come at some instructions
//! much oftener than at others.

use std::sync::atomic::AtomicU64;

use nix::libc;

use super::*;

/// The processor's flag that makes it trap after each instruction.
const TRAP_FLAG: i64 = 0x100;

/// How many instructions the thread is to execute until the guest is interrupted.
static LEFT: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_first_signal(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes a valid context, and nobody else has it.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_EFL as usize] |= TRAP_FLAG };
}

extern "C" fn on_step(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    if LEFT.fetch_sub(1, Ordering::Relaxed) > 1 {
        return;
    }
    let interrupted = context.cast::<libc::ucontext_t>();
    // SAFETY: as above.
    unsafe { (*interrupted).uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG };
    let action = SigAction::new(SigHandler::SigAction(on_signal), SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handler does what the clock and `interrupt` allow in one.
    unsafe { sigaction(SIGNAL, &action) }.ok();
    on_signal(signal, info, context);
}

pub fn at_any_instruction(guests: &Guests, signals: &mut Signals) {
    let handler = SigHandler::SigAction(on_step);
    // The other signal would make this one's handler trap.
    let action = SigAction::new(handler, SaFlags::SA_SIGINFO, SigSet::from(SIGNAL));
    // SAFETY: the handler does what the clock and `interrupt` allow in one.
    unsafe { sigaction(Signal::SIGTRAP, &action) }.unwrap();
    let mut state = 88_172_645_463_325_252;
    for _ in 0..rounds() {
        for name in ENDLESS {
            LEFT.store(1 + random(&mut state) % 200, Ordering::Relaxed);
            let action = SigAction::new(SigHandler::SigAction(on_first_signal), SaFlags::SA_SIGINFO, SigSet::empty());
            // SAFETY: the handler changes a register.
            unsafe { sigaction(SIGNAL, &action) }.unwrap();
            signals.from(Duration::from_nanos(20_000 + random(&mut state) % 100_000));
            guests.is_interrupted(name, 1);
            signals.none();
        }
    }
}
