//! Spec v0.2.1, "Timers".

use tracing::info;

use crate::abi::Status;
use crate::host::Host;
use crate::journal::Asked;
use crate::memory::{Guest, Result};

hostcalls! {
    "proxy_set_tick_period_milliseconds" (period: u32) => set_tick_period_milliseconds(period);
}

/// A timer belongs to a plugin context. Called in an HTTP context, it sets the timer of that
/// context's plugin context. An instance of one request has no timers: it is gone with the request.
fn set_tick_period_milliseconds<H: Host>(guest: &mut Guest<'_, H>, period: u32) -> Result {
    let state = guest.state();
    let plugin_context = state.contexts.origin().plugin_context;
    if !state.contexts.is_of_request() {
        state.host.set_tick_period(plugin_context, period)?;
    } else if !state.is_rehearsal() {
        let plugin = &state.plugin.name;
        info!("plugin \"{plugin}\" asks for ticks in an instance of one request, which has none");
        return Err(Status::InternalFailure.into());
    }
    state.ask(|| Asked::TickPeriod { plugin_context, period });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::Probe;

    #[test]
    fn a_timer_belongs_to_the_plugin_context() {
        for mut probe in [Probe::new(), Probe::without_request()] {
            assert_eq!(probe.call("proxy_set_tick_period_milliseconds", &[250]), Status::Ok);
            assert_eq!(probe.host.worker().tick_periods.iter().collect::<Vec<_>>(), [(&1, &250)]);
        }
    }
}
