//! What all workers share: data, queues and metrics, each in a zone of shared memory.
//!
//! | file | what it is |
//! |---|---|
//! | `memory` | a range of words that several processes see at once |
//! | `zone` | the lock of a zone, and the word that tells of a death inside it |
//! | `heap` | allocation inside a zone |
//! | `data` | spec, "Shared Key-Value Store" |
//! | `queues` | spec, "Shared Queues" |
//! | `metrics` | spec, "Metrics" |
//! | `exposition` | metrics as Prometheus reads them |
//!
//! Nothing here knows nginx, and nothing is unsafe: a zone is a slice of atomic words, and a place
//! in it is an index.
//!
//! # A worker may die anywhere
//!
//! A worker can be killed at any instruction, inside a critical section too. nginx's master then
//! opens the lock that the dead worker held, and the others go on with whatever it left. So each
//! structure is of two kinds of words:
//!
//! - **What is published**: hash chains, queues' items, the table of metrics. These are consistent
//!   after every single store. What is new is written in full where nobody sees it, and is then
//!   published by one store; what goes is unlinked by one store, and only then freed.
//! - **What is derived**: free lists, the order of use, counts, the end of a queue. These are torn
//!   while they change.
//!
//! Who enters a critical section sets the zone's *dirty* word, and clears it on leaving. Who finds
//! it set knows that somebody died in between, and rebuilds all that is derived from what is
//! published, before anything else. A death during that leaves the word set. Memory that was
//! allocated and not yet published, or unlinked and not yet freed, is nobody's, and so comes back
//! with the rebuilt free lists.
//!
//! That is why the heap is our own: nginx's slab allocator keeps bitmaps and lists that a death
//! inside it leaves torn, with no way to tell which of its pages are still in use. It is asked
//! once, for the whole of a new zone, and never again.
//!
//! A killed process has done every store up to some instruction and none after it, so all that
//! matters is the order in which the compiler emits them: every store here is a release store,
//! which keeps that order. Tests die at every one of them.

pub mod data;
pub mod exposition;
pub mod metrics;
pub mod queues;

mod hash;
mod heap;
mod memory;
mod zone;

pub use data::{Eviction, SharedData};
pub use memory::Memory;
pub use metrics::Metrics;
pub use queues::SharedQueues;
pub use zone::Lock;

use crate::abi::Status;

/// Why a zone refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key, queue or metric does not exist.
    NotFound,
    /// Longer than a name may be, or than the zone could ever hold.
    TooLarge,
    /// There is no room, and nothing may be evicted.
    Full,
    /// The value changed since it was read.
    CasMismatch,
    /// The queue has no item.
    Empty,
    /// This kind of metric does not have the operation, or a counter would go down.
    WrongKind,
}

/// The one mapping from a zone's error to a host function's status.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::NotFound,
            Error::TooLarge | Error::WrongKind => Self::BadArgument,
            Error::CasMismatch => Self::CasMismatch,
            Error::Empty => Self::Empty,
            Error::Full => Self::InternalFailure,
        }
    }
}
