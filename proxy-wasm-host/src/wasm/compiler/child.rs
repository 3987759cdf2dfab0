//! A child process that does one job within limits, and that only its parent notices.
//!
//! In nginx every process has a handler for SIGCHLD that reaps any child and logs it. So this child
//! is made by `clone`, without a signal for its end: the kernel then hides it from every `waitpid`
//! that does not ask for such children. This is a fork without libc, which is safe while there is
//! one thread. In a process with more threads, libc's own `fork` is used, which takes care of its
//! allocator's locks. nginx may then reap the child, so the child itself tells its parent how it
//! ends.
//!
//! What the child tells goes through a pipe, which the parent may watch: it hangs up when the child
//! has ended.
//!
//! The child keeps no descriptor of its parent's except the file that it writes, unless it runs what
//! its parent has loaded, which may be mapped from descriptors. What Rust's library writes to standard
//! error goes to that file. It handles no signal as its parent
//! does except those by which guests trap, ends when its parent ends, and is the first process that the kernel kills
//! when memory is short. Timers are not inherited.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{self, SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, getpid, getppid, pipe2};

use super::CompileLimits;

/// The exit code of a child that ended by a panic or an abort.
const FAILED: i32 = 2;

/// What the child is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It compiles, and keeps no descriptor of its parent's.
    Compile,
    /// It runs guests that its parent has loaded.
    Run,
}

impl Purpose {
    /// The child's name in a process list.
    fn name(self) -> &'static CStr {
        match self {
            Self::Compile => c"wasm-compiler",
            Self::Run => c"wasm-trial",
        }
    }
}

/// The lowest descriptor that the child keeps: above the standard ones.
const ABOVE_STANDARD: RawFd = 3;

/// The child's last message, which its exit code follows.
const ENDS: u8 = 0xff;

/// A child that has begun.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// Hangs up when the child has ended, because only the child has the other end.
    told: File,
    /// What the child has told so far.
    heard: Vec<u8>,
    is_reaped: bool,
}

/// The child's end of the pipe to its parent.
#[derive(Debug)]
pub struct Tell(OwnedFd);

impl Tell {
    /// Tells the parent. Without a parent, nobody hears it.
    pub fn tell(&self, message: &[u8]) {
        let _ = nix::unistd::write(&self.0, message);
    }

    /// # Errors
    /// When there is no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

/// Ends this process by SIGALRM after some time, in place of an earlier set one.
pub fn end_in(time: Duration) {
    let value = libc::timeval {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        // A time of zero would mean no end.
        tv_usec: time.subsec_micros().max(1).into(),
    };
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: the system reads the first, and writes nothing where there is no second.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

/// How a child ended.
#[derive(Debug)]
pub enum End {
    Code(i32),
    Signal(Signal),
    TimedOut,
    /// Another part of the process reaped the child.
    Unknown,
}

impl Child {
    /// Starts a child that writes to the file, and ends with the code that the job returns.
    /// Standard error goes to the file, too.
    ///
    /// # Errors
    /// When no child can be started.
    pub fn start(
        file: &File,
        limits: CompileLimits,
        job: impl FnOnce(&mut File, &Tell) -> io::Result<i32>,
    ) -> io::Result<Self> {
        Self::start_for(Purpose::Compile, file, limits, job)
    }

    /// Does the same as [`Child::start`], for a purpose.
    ///
    /// # Errors
    /// When no child can be started.
    pub fn start_for(
        purpose: Purpose,
        file: &File,
        limits: CompileLimits,
        job: impl FnOnce(&mut File, &Tell) -> io::Result<i32>,
    ) -> io::Result<Self> {
        let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&told, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let parent = getpid();
        // The parent's signal handlers must not run in the child.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let forked = fork();
        if let Ok(ForkResult::Child) = forked {
            be_child(purpose, file, Tell(tell), limits, parent, job);
        }
        mask.thread_set_mask()?;
        match forked? {
            ForkResult::Parent { child } => {
                Ok(Self { pid: child, told: told.into(), heard: Vec::new(), is_reaped: false })
            }
            ForkResult::Child => unreachable!("the child has not returned"),
        }
    }

    /// The child's process id.
    #[cfg(test)]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The descriptor that can be read when the child has told something, or has ended.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }

    /// Hears what the child has told, without waiting. Returns whether the child has ended.
    ///
    /// # Errors
    /// When the pipe cannot be read.
    pub fn hear(&mut self) -> io::Result<bool> {
        match (&self.told).read_to_end(&mut self.heard) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the child has told so far.
    pub fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Waits for the child's end, and kills the child when the time is over.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn wait(mut self, time: Duration) -> io::Result<End> {
        let begun = Instant::now();
        while !self.hear()? {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                self.kill();
                return Ok(End::TimedOut);
            }
            self.wait_to_hear(left)?;
        }
        self.end()
    }

    /// Waits until the child tells something or ends, or the time is over.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn wait_to_hear(&self, time: Duration) -> io::Result<()> {
        // Rounded up, so that the caller does not spin in the last millisecond.
        let timeout = PollTimeout::try_from(time.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.told.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How the child ended, which [`Child::hear`] has said that it has.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn end(mut self) -> io::Result<End> {
        Ok(match (self.reap()?, &self.heard[..]) {
            (WaitStatus::Signaled(_, signal, _), _) => End::Signal(signal),
            (WaitStatus::Exited(_, code), _) => End::Code(code),
            (_, [.., ENDS, code]) => End::Code(i32::from(*code)),
            _ => End::Unknown,
        })
    }

    fn reap(&mut self) -> io::Result<WaitStatus> {
        self.is_reaped = true;
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)) {
                Err(Errno::EINTR) => {}
                // A process that ignores SIGCHLD has no children to wait for.
                Err(Errno::ECHILD) => return Ok(WaitStatus::StillAlive),
                other => return Ok(other?),
            }
        }
    }

    fn kill(&mut self) {
        // The child's number stays its own until it is reaped. Nobody else reaps it while its signal
        // is blocked, or if it has ended before.
        let mut chld = SigSet::empty();
        chld.add(Signal::SIGCHLD);
        let mask = chld.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        if !self.hear().unwrap_or(true) {
            let _ = signal::kill(self.pid, Signal::SIGKILL);
        }
        let _ = self.reap();
        if let Ok(mask) = mask {
            let _ = mask.thread_set_mask();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.kill();
        }
    }
}

fn fork() -> Result<ForkResult, Errno> {
    if !has_one_thread() {
        // SAFETY: libc makes its allocator work in the child of a process with threads; the child
        // uses nothing else that another thread may have locked.
        return unsafe { nix::unistd::fork() };
    }
    // SAFETY: without flags, `clone` ignores its other arguments and acts as a fork. No signal is
    // sent when the child ends. No other thread is in this process that could hold a lock.
    match unsafe { libc::syscall(libc::SYS_clone, 0usize, 0usize, 0usize, 0usize, 0usize) } {
        -1 => Err(Errno::last()),
        0 => Ok(ForkResult::Child),
        child => Ok(ForkResult::Parent { child: Pid::from_raw(child as libc::pid_t) }),
    }
}

/// Returns whether the calling thread is the only one; false if that cannot be found out.
fn has_one_thread() -> bool {
    // A folder has two links of its own, and one for each folder in it.
    fs::metadata("/proc/self/task").is_ok_and(|tasks| tasks.nlink() == 3)
}

/// The life of the child. It leaves by `_exit`, because exit handlers belong to the parent.
fn be_child(
    purpose: Purpose,
    file: &File,
    tell: Tell,
    limits: CompileLimits,
    parent: Pid,
    job: impl FnOnce(&mut File, &Tell) -> io::Result<i32>,
) -> ! {
    let mut to_parent = None;
    let run = || -> io::Result<i32> {
        let (mut file, tell) = become_child(purpose, file, tell, limits, parent)?;
        let tell = &*to_parent.insert(tell);
        let said = file.try_clone()?;
        Ok(catch_unwind(AssertUnwindSafe(|| job(&mut file, tell)))
            .unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<&str>().copied();
                Err(io::Error::other(
                    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic"),
                ))
            })
            .unwrap_or_else(|error| {
                let _ = write!(&said, "{error}");
                FAILED
            }))
    };
    let code = run().unwrap_or(FAILED);
    if let (Some(tell), Ok(code)) = (&to_parent, u8::try_from(code)) {
        tell.tell(&[ENDS, code]);
    }
    // SAFETY: ends this process.
    unsafe { libc::_exit(code) }
}

/// Gives up everything that belongs to the parent, and sets the limits.
fn become_child(
    purpose: Purpose,
    file: &File,
    tell: Tell,
    limits: CompileLimits,
    parent: Pid,
) -> io::Result<(File, Tell)> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::Error::other("its parent has gone"));
    }
    reset_signals()?;
    let (file, tell) = match purpose {
        Purpose::Compile => keep_alone(file, tell)?,
        Purpose::Run => {
            dup2_stderr(file)?;
            (file.try_clone()?, tell)
        }
    };
    let _ = prctl::set_name(purpose.name());
    // Without `/proc`, or without the right to write there, the child is as likely to be killed as
    // its parent.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    limit(limits)?;
    if purpose == Purpose::Run {
        give_up_rights(parent)?;
    }
    Ok((file, tell))
}

/// Gives up the rights of root before guests run. Where that is not allowed, as in a container that
/// has no other user, the child has the rights that its parent has there.
fn give_up_rights(parent: Pid) -> io::Result<()> {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: the function only returns a number.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    // SAFETY: an empty list is not read.
    unsafe { libc::setgroups(0, std::ptr::null()) };
    // SAFETY: the function changes only this process.
    unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) };
    // SAFETY: as above.
    unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) };
    // The kernel forgets the signal when the rights change.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("its parent has gone")) }
}

/// Resets the signals to their default actions, except those by which guests trap: wasmtime passes on
/// what is not a guest's. Ignored are SIGPIPE and SIGXFSZ, whose causes are
/// errors of `write`, and the signals that do not end nginx's own processes; SIGABRT gets a handler.
fn reset_signals() -> io::Result<()> {
    for signal in Signal::iterator() {
        let handler = match signal {
            Signal::SIGHUP
            | Signal::SIGUSR1
            | Signal::SIGUSR2
            | Signal::SIGWINCH
            | Signal::SIGPIPE
            | Signal::SIGXFSZ => SigHandler::SigIgn,
            Signal::SIGABRT => SigHandler::Handler(on_abort),
            Signal::SIGKILL | Signal::SIGSTOP => continue,
            Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE | Signal::SIGTRAP => continue,
            _ => SigHandler::SigDfl,
        };
        // SAFETY: the only handler, `on_abort`, does only what a signal handler may do.
        unsafe { signal::signal(signal, handler)? };
    }
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

/// When memory cannot be allocated, Rust's library prints a message and aborts. That should not
/// dump core.
extern "C" fn on_abort(_: libc::c_int) {
    // SAFETY: ends this process, which a signal handler may.
    unsafe { libc::_exit(FAILED) }
}

/// Closes every descriptor except the file and the pipe to the parent. Standard error becomes the
/// file, for the messages of Rust's library.
fn keep_alone(file: &File, given: Tell) -> io::Result<(File, Tell)> {
    // Moves both above the standard descriptors.
    let file = duplicate(file.as_fd())?;
    let tell = duplicate(&given.0)?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let nothing = null.as_ref().map_or(file.as_fd(), AsFd::as_fd);
    dup2_stdin(nothing)?;
    dup2_stdout(nothing)?;
    dup2_stderr(file.as_fd())?;
    let (low, high) = (file.as_raw_fd().min(tell.as_raw_fd()), file.as_raw_fd().max(tell.as_raw_fd()));
    close_range(ABOVE_STANDARD, low - 1);
    close_range(low + 1, high - 1);
    close_range(high + 1, RawFd::MAX);
    // They are closed already.
    std::mem::forget((null, given));
    Ok((file.into(), Tell(tell)))
}

fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(ABOVE_STANDARD))?;
    // SAFETY: `fcntl` has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Closes descriptors from the first to the last, one by one where the kernel is older than 5.9.
fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: nothing in this process uses the parent's descriptors any more.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return;
    }
    let open = sysconf(libc::_SC_OPEN_MAX).clamp(0, 1 << 20) as RawFd;
    for fd in first..=last.min(open) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

fn limit(limits: CompileLimits) -> io::Result<()> {
    lower(Resource::RLIMIT_CORE, 0)?;
    // RLIMIT_DATA counts memory that only this process can write. What a worker with instances has
    // is counted already. Reserved address space does not count.
    let data = data_now().saturating_add(limits.memory as rlim_t);
    lower(Resource::RLIMIT_DATA, data)?;
    // Ends the child if the parent is stopped. The time of every core counts.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let seconds = (limits.time.as_secs() + 2).saturating_mul(cores);
    lower(Resource::RLIMIT_CPU, seconds)
}

/// Sets a limit, unless a lower one is set.
fn lower(resource: Resource, limit: rlim_t) -> io::Result<()> {
    let (soft, hard) = getrlimit(resource)?;
    let (soft, hard) = (soft.min(limit), hard.min(limit));
    Ok(setrlimit(resource, soft, hard)?)
}

/// The bytes that count for `RLIMIT_DATA` now; 0 without `/proc`.
fn data_now() -> rlim_t {
    let pages = fs::read_to_string("/proc/self/statm").ok().and_then(|line| line.split(' ').nth(5)?.parse().ok());
    pages.unwrap_or(0u64).saturating_mul(sysconf(libc::_SC_PAGESIZE) as u64)
}

fn sysconf(name: libc::c_int) -> libc::c_long {
    // SAFETY: the function only returns a number.
    unsafe { libc::sysconf(name) }
}
