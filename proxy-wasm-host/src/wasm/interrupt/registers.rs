//! The registers of a thread that a signal interrupted.

use std::ptr;

#[cfg(target_arch = "x86_64")]
use nix::libc;
use nix::libc::ucontext_t;

/// What wasmtime compiles `unreachable` to.
pub const TRAP_INSTRUCTION: &[u8] = arch::TRAP_INSTRUCTION;

/// The address of the instruction that would run next.
pub fn program_counter(context: &ucontext_t) -> usize {
    arch::program_counter(context)
}

/// Whether the frame pointer leads to the callers of the guest's function that the thread is in.
///
/// # Safety
///
/// The thread is in a function of a guest.
#[allow(unsafe_code)]
pub unsafe fn has_frame(context: &ucontext_t) -> bool {
    // SAFETY: as this function's.
    unsafe { arch::has_frame(context) }
}

/// Makes the thread call a function, as if it were by the instruction that would run next. The
/// function does not return.
///
/// # Safety
///
/// The thread is in a function of a guest with [`has_frame`], and the function is compiled as a
/// guest's.
#[allow(unsafe_code)]
pub unsafe fn call(context: &mut ucontext_t, function: usize) {
    // SAFETY: as this function's.
    unsafe { arch::call(context, function) }
}

/// Where the trampoline that the thread has come back to keeps its return address. `None` if it has
/// come to the first instruction of one, which keeps none yet.
///
/// # Safety
///
/// The thread is at the first instruction that it executes of a trampoline of wasmtime's, or the
/// first one after a call.
#[allow(unsafe_code)]
pub unsafe fn return_address(context: &mut ucontext_t) -> Option<&mut usize> {
    let pc = ptr::with_exposed_provenance::<[u8; 4]>(program_counter(context));
    // SAFETY: no function of wasmtime's is shorter.
    if unsafe { pc.read() } == arch::FIRST_INSTRUCTIONS {
        return None;
    }
    let frame = ptr::with_exposed_provenance_mut::<usize>(arch::frame_pointer(context));
    // SAFETY: the frame of a trampoline that has called is complete: the frame pointer of its caller,
    // and its return address.
    Some(unsafe { &mut *frame.add(1) })
}

#[cfg(target_arch = "x86_64")]
mod arch {
    use super::{libc, ucontext_t};

    /// `ud2`.
    pub const TRAP_INSTRUCTION: &[u8] = &[0x0f, 0x0b];

    /// `push rbp; mov rbp, rsp`: what all functions of wasmtime's begin with.
    pub const FIRST_INSTRUCTIONS: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];

    const FP: usize = libc::REG_RBP as usize;

    const PC: usize = libc::REG_RIP as usize;
    const SP: usize = libc::REG_RSP as usize;

    pub fn program_counter(context: &ucontext_t) -> usize {
        register(context.uc_mcontext.gregs[PC])
    }

    pub fn frame_pointer(context: &ucontext_t) -> usize {
        register(context.uc_mcontext.gregs[FP])
    }

    /// `mov r11, [rsp + offset]`, with an offset of 8 bits or of 32.
    const LOADS: [[u8; 4]; 2] = [[0x4c, 0x8b, 0x5c, 0x24], [0x4c, 0x8b, 0x9c, 0x24]];

    /// `mov [rsp], r11`.
    const STORE: [u8; 4] = [0x4c, 0x89, 0x1c, 0x24];

    /// A function that tail-calls one with more arguments on the stack moves its frame down when it
    /// begins: it sets the frame pointer first, and copies the caller's behind it with two
    /// instructions. Other functions do not use these while the two pointers are the same: what they
    /// have above the stack pointer are arguments, which they take by the frame pointer.
    ///
    /// # Safety
    ///
    /// See [`super::has_frame`].
    #[allow(unsafe_code)]
    pub unsafe fn has_frame(context: &ucontext_t) -> bool {
        if register(context.uc_mcontext.gregs[SP]) != frame_pointer(context) {
            return true;
        }
        let pc = std::ptr::with_exposed_provenance::<[u8; 4]>(program_counter(context));
        // SAFETY: behind each function are the trampolines, so that there are as many bytes.
        let instruction = unsafe { pc.read() };
        instruction != STORE && !LOADS.contains(&instruction)
    }

    /// # Safety
    ///
    /// See [`super::call`].
    #[allow(unsafe_code)]
    pub unsafe fn call(context: &mut ucontext_t, function: usize) {
        let registers = &mut context.uc_mcontext.gregs;
        // The stack of a function that begins: its return address, 8 bytes off a multiple of 16.
        let top = ((register(registers[SP]) - 16) & !15) + 8;
        // wasmtime looks for a caller at the byte before the return address.
        let return_address = register(registers[PC]) + 1;
        // SAFETY: a guest's function keeps nothing below its stack pointer, and the kernel leaves
        // 128 bytes there free.
        unsafe { std::ptr::with_exposed_provenance_mut::<usize>(top).write(return_address) };
        registers[SP] = top.cast_signed() as i64;
        registers[PC] = function.cast_signed() as i64;
    }

    fn register(value: i64) -> usize {
        value.cast_unsigned() as usize
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use super::ucontext_t;

    /// `udf #0xc11f`.
    pub const TRAP_INSTRUCTION: &[u8] = &0x0000_c11f_u32.to_le_bytes();

    /// `stp x29, x30, [sp, #-16]!`: what all functions of wasmtime's begin with.
    pub const FIRST_INSTRUCTIONS: [u8; 4] = 0xa9bf_7bfd_u32.to_le_bytes();

    /// The registers of the frame pointer and of the return address.
    const FRAME: usize = 29;
    const LINK: usize = 30;

    pub fn program_counter(context: &ucontext_t) -> usize {
        context.uc_mcontext.pc as usize
    }

    pub fn frame_pointer(context: &ucontext_t) -> usize {
        context.uc_mcontext.regs[FRAME] as usize
    }

    /// A function sets the frame pointer when the frame is complete.
    ///
    /// # Safety
    ///
    /// See [`super::has_frame`].
    #[allow(unsafe_code)]
    pub unsafe fn has_frame(_: &ucontext_t) -> bool {
        true
    }

    /// # Safety
    ///
    /// See [`super::call`].
    #[allow(unsafe_code)]
    pub unsafe fn call(context: &mut ucontext_t, function: usize) {
        let machine = &mut context.uc_mcontext;
        // wasmtime looks for a caller at the byte before the return address.
        machine.regs[LINK] = machine.pc + 1;
        machine.pc = function as u64;
    }
}
