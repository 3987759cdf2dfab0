//! What an instance asks of the host while it starts.
//!
//! What the guest learnt from the host must still be true of an instance that is restored from an
//! image, and what it asked for must be done again. Whatever cannot be is an obstacle: there is no
//! image then.

use serde::{Deserialize, Serialize};

use crate::identity::Configuration;
use crate::limits::images::ASKED;

/// One thing that a guest asked of the host while it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Asked {
    TickPeriod { plugin_context: u32, period: u32 },
    RegisterQueue { plugin_context: u32, name: Vec<u8>, id: u32 },
    ResolveQueue { vm_id: Vec<u8>, name: Vec<u8>, id: u32 },
    DefineMetric { kind: i32, name: Vec<u8>, id: u32 },
    RecordMetric { id: u32, value: u64 },
    IncrementMetric { id: u32, offset: i64 },
    LogLevel { level: i32 },
}

impl Asked {
    /// Whether it defines a metric.
    pub fn is_definition(&self) -> bool {
        matches!(self, Self::DefineMetric { .. })
    }
}

/// What an instance asked of the host since it began to start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    asked: Vec<Asked>,
    obstacle: Option<&'static str>,
}

impl Journal {
    /// A journal that begins with this.
    pub fn of(asked: Vec<Asked>) -> Self {
        Self { asked, obstacle: None }
    }

    /// What was asked, the oldest first.
    pub fn asked(self) -> Vec<Asked> {
        self.asked
    }

    /// What the guest did that an image cannot keep.
    pub fn obstacle(&self) -> Option<&'static str> {
        self.obstacle
    }

    pub fn add(&mut self, asked: Asked) {
        if self.asked.len() < ASKED { self.asked.push(asked) } else { self.obstruct("it asked too much of the host") }
    }

    /// Records that the guest did something that an image cannot keep.
    pub fn obstruct(&mut self, obstacle: &'static str) {
        self.obstacle.get_or_insert(obstacle);
    }
}

/// A plugin context of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImagedContext {
    pub id: u32,
    /// The hash of its configuration, and of the names of its plugin.
    pub configuration: [u8; 32],
    /// Whether the plugin refused the configuration.
    pub refused: bool,
}

impl ImagedContext {
    pub fn new(id: u32, configuration: &Configuration, refused: bool) -> Self {
        let (name, root_id) = configuration.names();
        let mut hasher = blake3::Hasher::new();
        for bytes in [name.as_bytes(), root_id.as_bytes(), &configuration.bytes] {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        Self { id, configuration: hasher.finalize().into(), refused }
    }
}
