//! The settings that the operator wrote: the directives of `http`, and those of each location.
//!
//! This room holds values only; engine, workers and guests are in `worker` and below.
//! docs/directives.md describes each directive.
//!
//! | file | what it is |
//! |---|---|
//! | `directories` | the directories that plugins may use |
//! | `http` | the directives of `http`: plugins, their attachments, limits |
//! | `location` | the directives of a location, and how levels merge |
//! | `vms` | which plugins share a VM |
//! | `zones` | the sizes of the shared zones |

mod directories;
mod http;
mod location;
mod vms;
mod zones;

pub use http::{Attachment, CacheSetting, Declared, Fault, HttpConf, NamedDirectory, TlsSettings, io_reason};
pub use location::{Attached, BodyMode, LocConf, Policy, RequestBodyMode};
pub use zones::ZoneSettings;
