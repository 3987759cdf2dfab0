//! Futures and timers on nginx's event loop.
//!
//! | file | what it is |
//! |---|---|
//! | `executor` | polls futures from nginx's loop |
//! | `timer` | waits, on nginx's timers |
//! | `turn` | limits how long this module's events keep nginx's loop from others |
//! | `quit` | decides how long a worker that is told to quit waits |

mod executor;
mod quit;
mod timer;
mod turn;

pub use executor::{NginxExecutor, Task, spawn};
pub use quit::{Awaited, watch as watch_quit};
pub use timer::{OnQuit, Sleep, timeout};
pub use turn::Turn;

/// Drops all tasks. Called when the worker exits.
pub fn shut_down() {
    executor::shut_down();
    quit::stop();
}
