//! Futures on nginx's event loop, and time to wait there.
//!
//! | file | what it is |
//! |---|---|
//! | `executor` | futures that nginx's loop polls |
//! | `timer` | time to wait, on nginx's timers |
//! | `turn` | how long events of this module may take before nginx's loop serves others |
//! | `quit` | what a worker that is told to quit waits for |

mod executor;
mod quit;
mod timer;
mod turn;

pub use executor::{NginxExecutor, Task, spawn};
pub use quit::Awaited;
pub use timer::{OnQuit, Sleep, timeout};
pub use turn::Turn;

/// Ends what is under way; called when the worker exits.
pub fn shut_down() {
    executor::shut_down();
    quit::stop();
}
