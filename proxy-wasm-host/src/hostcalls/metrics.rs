//! Spec v0.2.1, "Metrics".

use crate::abi::MetricType;
use crate::host::Host;
use crate::journal::Asked;
use crate::memory::{Guest, Result};
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_define_metric" (kind: i32, address: u32, size: u32, return_id: u32)
        => define_metric(kind, GuestBytes { address, size }, return_id);
    "proxy_get_metric" (id: u32, return_value: u32) => get_metric(id, return_value);
    "proxy_record_metric" (id: u32, value: u64) => record_metric(id, value);
    "proxy_increment_metric" (id: u32, offset: i64) => increment_metric(id, offset);
}

fn define_metric<H: Host>(guest: &mut Guest<'_, H>, kind: i32, name: GuestBytes, return_id: u32) -> Result {
    let kind = MetricType::try_from(kind)?;
    guest.check(return_id, 4)?;
    let (memory, state) = guest.split();
    let name = memory.bytes(name)?;
    let id = state.host.define_metric(kind, name)?;
    state.ask(|| Asked::DefineMetric { kind: kind as i32, name: name.to_vec(), id });
    guest.write_u32(return_id, id)
}

fn get_metric<H: Host>(guest: &mut Guest<'_, H>, id: u32, return_value: u32) -> Result {
    guest.check(return_value, 8)?;
    guest.state().obstruct("it read metrics while it started");
    let value = guest.state().host.metric(id)?;
    guest.write_u64(return_value, value)
}

fn record_metric<H: Host>(guest: &mut Guest<'_, H>, id: u32, value: u64) -> Result {
    let state = guest.state();
    if !state.is_rehearsal() {
        state.host.record_metric(id, value)?;
    }
    state.ask(|| Asked::RecordMetric { id, value });
    Ok(())
}

fn increment_metric<H: Host>(guest: &mut Guest<'_, H>, id: u32, offset: i64) -> Result {
    let state = guest.state();
    if !state.is_rehearsal() {
        state.host.increment_metric(id, offset)?;
    }
    state.ask(|| Asked::IncrementMetric { id, offset });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::abi::{MetricType, Status};
    use crate::local::probe::{OUT, Probe};

    #[test]
    fn a_metric_is_defined_changed_and_read() {
        let mut probe = Probe::new();
        let name = probe.put("requests");
        assert_eq!(probe.call("proxy_define_metric", &[MetricType::Gauge as u32, name[0], name[1], OUT]), Status::Ok);
        let id = probe.number(OUT);
        assert_eq!(probe.call("proxy_record_metric", &[id, 10]), Status::Ok);
        assert_eq!(probe.call("proxy_increment_metric", &[id, -3i32 as u32]), Status::Ok);
        assert_eq!(probe.call("proxy_get_metric", &[id, OUT]), Status::Ok);
        assert_eq!((probe.number(OUT), probe.number(OUT + 4)), (7, 0));
        assert_eq!(probe.host.worker().metrics[0].name, b"requests");
    }

    #[test]
    fn an_unknown_metric_is_not_found_and_an_unknown_kind_a_bad_argument() {
        let mut probe = Probe::new();
        let name = probe.put("requests");
        assert_eq!(probe.call("proxy_define_metric", &[3, name[0], name[1], OUT]), Status::BadArgument);
        assert_eq!(probe.call("proxy_get_metric", &[5, OUT]), Status::NotFound);
        assert_eq!(probe.call("proxy_record_metric", &[5, 1]), Status::NotFound);
        assert_eq!(probe.call("proxy_increment_metric", &[5, 1]), Status::NotFound);
    }
}
