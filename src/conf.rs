//! What the operator said: the directives of `http`, and those of each location. No engine, no worker, no guest.
//!
//! | file | what it is |
//! |---|---|
//! | `http` | what stands in `http`: plugins, their attachments, limits |
//! | `location` | what stands in a location, and how levels merge |
//! | `zones` | how large the shared zones are |

mod http;
mod location;
mod zones;

pub use http::{Attachment, CacheSetting, Declared, Fault, HttpConf, TlsSettings, io_reason};
pub use location::{Attached, BodyMode, LocConf, Policy};
pub use zones::ZoneSettings;
