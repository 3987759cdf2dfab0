//! Spec v0.2.1, "Timers".

use crate::host::Host;
use crate::journal::Asked;
use crate::memory::{Guest, Result};

hostcalls! {
    "proxy_set_tick_period_milliseconds" (period: u32) => set_tick_period_milliseconds(period);
}

/// A timer belongs to a plugin context. Called in an HTTP context, it sets the timer of that
/// context's plugin context.
fn set_tick_period_milliseconds<H: Host>(guest: &mut Guest<'_, H>, period: u32) -> Result {
    let state = guest.state();
    let (host, origin) = state.host_and_origin();
    let plugin_context = origin.plugin_context;
    host.set_tick_period(plugin_context, period)?;
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
