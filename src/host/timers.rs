//! Spec, "Timers": calls `proxy_on_tick` from a task on nginx's timers.

use std::rc::{Rc, Weak};

use ngx_bindings::event;
use proxy_wasm_host::PluginContext;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{Result, Timers};

use crate::context::{NginxHost, Ticks};
use crate::task::{OnQuit, Sleep, spawn};

impl Timers for NginxHost {
    fn set_tick_period(&mut self, plugin_context: u32, period: u32) -> Result {
        if period == 0 {
            self.ticks.remove(&plugin_context);
            return Ok(());
        }
        if !event::is_looping() {
            tracing::error!("a tick period can be set in a worker only, not while nginx reads its configuration");
            return Err(Status::InternalFailure);
        }
        let context = self.plugin_contexts.get(plugin_context).ok_or(Status::InternalFailure)?;
        let first = period.max(self.plugin_contexts.paused_for(plugin_context));
        let task = spawn(OnQuit::Forget, tick(Rc::downgrade(&context), period, first));
        self.ticks.insert(plugin_context, Ticks::new(period, task));
        Ok(())
    }
}

/// Calls a PluginContext in `first` milliseconds, and then every `period` milliseconds. The task
/// ends with the context, and with the instance, whose host keeps the task.
async fn tick(context: Weak<PluginContext<NginxHost>>, period: u32, first: u32) {
    let mut wait = first;
    loop {
        // A worker that is told to quit does not wait for ticks.
        Sleep::new(wait, OnQuit::Forget).await;
        wait = period;
        // A failure was logged where it happened.
        let Some(Ok(())) = context.upgrade().map(|context| context.on_tick()) else { return };
    }
}
