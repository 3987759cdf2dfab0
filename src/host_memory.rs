//! Counts the bytes that the host keeps for each plugin beside its linear memory: calls and their
//! responses, local responses, changed bodies, and what was set for a request.
//!
//! Each plugin has one account per worker. Code that keeps bytes for a plugin owns a [`Held`],
//! which gives them back when it is dropped.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;

use proxy_wasm_host::abi::Status;

use super::connections::Connections;
use super::log_limit::{LineLimit, LogLimit};

thread_local! {
    /// The accounts, by plugin name. They are few, and stay over reloads, because the bytes that
    /// they count may outlive one. The list is never dropped: accounts are in use until the process
    /// ends, and LeakSanitizer must find them by it.
    static ACCOUNTS: RefCell<ManuallyDrop<Vec<&'static Account>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    /// The bytes of all accounts together.
    static OF_WORKER: Cell<usize> = const { Cell::new(0) };
}

/// The bytes that this worker keeps for all its plugins.
pub fn of_worker() -> usize {
    OF_WORKER.get()
}

/// The bytes that this worker keeps for one plugin.
pub fn of_plugin(plugin: &str) -> usize {
    Account::of(plugin).used()
}

/// One plugin's account: the bytes and the connections that this worker has for it.
#[derive(Debug)]
pub struct Account {
    plugin: Box<str>,
    used: Cell<usize>,
    refusal_log: LogLimit,
    call_log: LineLimit,
    connections: Connections,
}

impl Account {
    /// The bytes on this account.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// The connections that calls of this plugin have.
    pub fn connections(&'static self) -> &'static Connections {
        &self.connections
    }

    /// The lines about calls of this plugin that were refused.
    pub fn call_log(&'static self) -> &'static LineLimit {
        &self.call_log
    }

    fn of(plugin: &str) -> &'static Self {
        ACCOUNTS.with_borrow_mut(|accounts| {
            if let Some(known) = accounts.iter().find(|account| &*account.plugin == plugin) {
                return *known;
            }
            let new: &Self = Box::leak(Box::new(Self {
                plugin: plugin.into(),
                used: Cell::default(),
                refusal_log: LogLimit::default(),
                call_log: LineLimit::default(),
                connections: Connections::default(),
            }));
            accounts.push(new);
            new
        })
    }

    fn change(&self, change: impl Fn(usize) -> usize) {
        self.used.set(change(self.used.get()));
        OF_WORKER.set(change(OF_WORKER.get()));
    }
}

/// An account with its limits: how many bytes the worker may keep for the plugin.
#[derive(Clone, Copy, Debug)]
pub struct HostMemory {
    account: &'static Account,
    /// `wasm_host_memory`.
    limit: usize,
    /// `wasm_worker_memory`.
    worker_limit: usize,
}

impl HostMemory {
    /// Returns the account of a plugin with these limits.
    pub fn of(plugin: &str, limit: usize, worker_limit: usize) -> Self {
        Self { account: Account::of(plugin), limit, worker_limit }
    }

    /// The account itself, without the limits.
    pub fn account(self) -> &'static Account {
        self.account
    }

    /// Counts bytes that are about to be kept.
    ///
    /// # Errors
    /// `InternalFailure` if a limit would be exceeded. A line in the worker's log says so, at most
    /// once a second.
    pub fn take(self, bytes: usize) -> Result<Held, Status> {
        let mut held = Held { memory: self, bytes: 0 };
        held.grow(bytes)?;
        Ok(held)
    }

    fn check(self, bytes: usize) -> Result<(), Status> {
        let exceeds = |used: usize, limit| used.checked_add(bytes).is_none_or(|used| used > limit);
        let (limit, directive) = if exceeds(self.account.used(), self.limit) {
            (self.limit, "wasm_host_memory")
        } else if exceeds(of_worker(), self.worker_limit) {
            (self.worker_limit, "wasm_worker_memory")
        } else {
            return Ok(());
        };
        if self.account.refusal_log.is_due() {
            let plugin = &self.account.plugin;
            tracing::error!("plugin \"{plugin}\" is refused {bytes} bytes past {directive} ({limit})");
        }
        Err(Status::InternalFailure)
    }
}

/// Bytes that are kept for a plugin. They count until this is dropped.
#[derive(Debug)]
pub struct Held {
    memory: HostMemory,
    bytes: usize,
}

impl Held {
    /// Counts more bytes.
    ///
    /// # Errors
    /// As [`HostMemory::take`].
    pub fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        self.memory.check(bytes)?;
        self.memory.account.change(|used| used + bytes);
        self.bytes += bytes;
        Ok(())
    }

    /// Replaces the count by this one.
    ///
    /// # Errors
    /// As [`HostMemory::take`].
    pub fn set(&mut self, bytes: usize) -> Result<(), Status> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more),
            None => {
                let less = self.bytes - bytes;
                self.memory.account.change(|used| used.saturating_sub(less));
                self.bytes = bytes;
                Ok(())
            }
        }
    }

    /// Counts the bytes of another, too, if they are kept for the same plugin.
    pub fn join(&mut self, mut other: Self) {
        if other.is_of(self.memory) {
            self.bytes += std::mem::take(&mut other.bytes);
        }
    }

    /// Whether the bytes count for this account.
    pub fn is_of(&self, memory: HostMemory) -> bool {
        std::ptr::eq(self.memory.account, memory.account)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.account.change(|used| used.saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_counted_until_it_goes() {
        let memory = HostMemory::of("counted", 100, 1000);
        let mut held = memory.take(60).unwrap();
        assert_eq!(memory.take(41).err(), Some(Status::InternalFailure));
        assert_eq!(held.grow(41).err(), Some(Status::InternalFailure));
        held.set(100).unwrap();
        held.set(10).unwrap();
        let other = memory.take(90).unwrap();
        assert_eq!((memory.account().used(), of_worker()), (100, 100));
        held.join(other);
        held.join(HostMemory::of("joined", 100, 1000).take(50).unwrap());
        assert_eq!((memory.account().used(), of_worker()), (100, 100));
        drop(held);
        assert_eq!((memory.account().used(), of_worker()), (0, 0));
        assert!(memory.take(usize::MAX).is_err());
    }

    #[test]
    fn plugins_share_what_the_worker_has() {
        let (one, two) = (HostMemory::of("one", 100, 150), HostMemory::of("two", 100, 150));
        let held = one.take(100).unwrap();
        assert!(two.take(51).is_err());
        assert!(two.take(50).is_ok());
        assert!(held.is_of(HostMemory::of("one", 1, 1)) && !held.is_of(two));
    }
}
