//! What came of a step.

use crate::memory::Returned;
use crate::{names, pairs};

pub struct Outcome {
    pub status: String,
    /// Only of a step that succeeded, and has one.
    pub value: Option<Vec<u8>>,
}

impl Outcome {
    /// A host function returned `status` and nothing else.
    pub fn status(status: u32) -> Self {
        Self { status: names::status(status), value: None }
    }

    pub fn with(status: u32, value: impl FnOnce() -> Vec<u8>) -> Self {
        Self { status: names::status(status), value: (status == 0).then(value) }
    }

    pub fn with_number<T: ToString>(status: u32, number: T) -> Self {
        Self::with(status, || number.to_string().into())
    }

    pub fn with_bytes(status: u32, returned: &Returned) -> Self {
        Self::with(status, || returned.take())
    }

    pub fn with_pairs(status: u32, returned: &Returned) -> Self {
        Self::with(status, || pairs::show(&pairs::deserialize(&returned.take())))
    }

    /// A WASI function returned `errno`.
    pub fn errno(errno: u32) -> Self {
        Self { status: names::errno(errno), value: None }
    }

    pub fn errno_with(errno: u32, value: impl FnOnce() -> Vec<u8>) -> Self {
        Self { status: names::errno(errno), value: (errno == 0).then(value) }
    }

    /// Something that the guest did by itself.
    pub fn done() -> Self {
        Self::status(0)
    }

    pub fn done_with(value: impl Into<Vec<u8>>) -> Self {
        Self { status: names::status(0), value: Some(value.into()) }
    }

    pub fn failed() -> Self {
        Self { status: "FAILED".into(), value: None }
    }
}
