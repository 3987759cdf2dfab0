//! Implements the traits of [`proxy_wasm_host::host`] on a worker and a request: one file for each
//! chapter of the spec.

mod buffers;
mod caller;
mod foreign_functions;
mod grpc_calls;
mod headers;
mod http_calls;
mod local_response;
mod log;
mod metrics;
mod properties;
pub mod property_variable;
pub mod queue_events;
mod redis_calls;
mod shared_data;
mod shared_queues;
mod signatures;
mod streams;
mod timers;
mod trailers;
mod upstreams;

use std::time::Instant;

use ngx_bindings::pool::AllocError;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{Blame, FailedContext, Host, Result, Stream};

pub use headers::header_count;
pub use properties::property;
pub use trailers::trailer_count;

use self::caller::Caller;
use super::calls::Calls;
use super::context::{NginxHost, RedisServers, RequestStream};

/// Maps nginx's lack of memory to the status that a host function returns. This is the only such
/// mapping.
trait OrStatus<T> {
    /// Returns the value, or [`Status::InternalFailure`] without memory.
    fn or_status(self) -> Result<T>;
}

impl<T> OrStatus<T> for std::result::Result<T, AllocError> {
    fn or_status(self) -> Result<T> {
        self.map_err(|AllocError| Status::InternalFailure)
    }
}

impl Host for NginxHost {
    type Stream = RequestStream;

    fn instance_starting(&mut self) {
        self.counters.start(self.is_restart && !self.of_request);
    }

    fn serve_request(&mut self) {
        self.of_request = true;
        self.calls = Calls::of_own_instance();
    }

    fn instance_started(&mut self) {
        self.is_up = true;
        self.counters.instance_came();
    }

    fn instance_restored(&mut self) {
        self.counters.restore();
        self.counters.instance_came();
        self.is_up = true;
    }

    fn instance_rests(&mut self) {
        self.calls = Calls::of_own_instance();
        self.redis = RedisServers::default();
    }

    fn instance_failed(&mut self, blame: Blame) {
        self.counters.lost(blame.by == FailedContext::Http, blame.collateral);
        if let FailedContext::Plugin(id) = blame.by
            && let Some(pause) = self.plugin_contexts.pause(id, self.born.elapsed())
        {
            let plugin = &self.plugin;
            tracing::warn!("plugin \"{plugin}\" fails again and again, its ticks and queues pause for {pause:?}");
        }
    }

    fn stream_opened(&mut self) {
        self.counters.request();
    }

    fn call_started(&mut self) {
        self.counters.call();
    }

    #[inline]
    fn guest_entered(&mut self) -> bool {
        let measured = self.counters.enter();
        if measured {
            self.begin = Some(Instant::now());
        }
        measured
    }

    #[inline]
    fn guest_left(&mut self, callbacks: usize, returned: bool, memory_size: Option<usize>) {
        self.counters.callbacks(callbacks);
        if let Some(memory_size) = memory_size
            && let Some(begin) = self.begin.take()
        {
            self.counters.timed(begin, (!self.of_request).then_some(memory_size));
        }
        if !returned {
            self.has_failed = true;
            self.counters.failure();
        }
    }
}

impl Drop for NginxHost {
    fn drop(&mut self) {
        // An instance of a request has neither ticks nor queues.
        if !self.of_request {
            self.end_for_worker();
        }
        if self.is_up {
            self.counters.instance_went();
        } else {
            self.counters.failure();
        }
    }
}

impl NginxHost {
    fn end_for_worker(&self) {
        self.counters.forget_memory();
        let listeners = queue_events::forget(&self.plugin_contexts);
        if self.has_failed {
            // These PluginContexts are restarted here, because no request may come that would start
            // them.
            listeners.into_iter().for_each(|id| self.plugin_contexts.restart(id, 0));
            self.ticks.iter().for_each(|(id, ticks)| self.plugin_contexts.restart(*id, ticks.period));
            let services = self.plugin_contexts.services().into_iter().filter(|id| !self.ticks.contains_key(id));
            services.for_each(|id| self.plugin_contexts.restart(id, 0));
        }
    }
}

impl Drop for RequestStream {
    /// If the request still lives, its instance is going away, and with it everything that the
    /// request may wait for.
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(ctx) = self.handle().get() {
            ctx.instance_gone(self.slot());
        }
    }
}

impl Stream for RequestStream {
    #[inline(always)]
    fn leaves_calls(&self) -> bool {
        self.leaves_calls()
    }
}
