//! Spec v0.2.1, "Context lifecycle".

use crate::host::Host;
use crate::memory::{Guest, Result};

hostcalls! {
    "proxy_done" () => done();
    "proxy_set_effective_context" (context_id: u32) => set_effective_context(context_id);
}

fn done<H: Host>(guest: &mut Guest<'_, H>) -> Result {
    Ok(guest.state().contexts.done()?)
}

fn set_effective_context<H: Host>(guest: &mut Guest<'_, H>, context_id: u32) -> Result {
    guest.state().contexts.set_effective(context_id)?;
    guest.part()
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    #[test]
    fn the_effective_context_can_be_any_that_lives() {
        let mut probe = Probe::new();
        assert_eq!(probe.call("proxy_set_effective_context", &[1]), Status::Ok);
        let name = probe.put("host");
        let get = [0, name[0], name[1], OUT, OUT + 4];
        assert_eq!(probe.call("proxy_get_header_map_value", &get), Status::NotFound);
        assert_eq!(probe.call("proxy_set_effective_context", &[2]), Status::Ok);
        assert_eq!(probe.call("proxy_get_header_map_value", &get), Status::Ok);
    }

    #[test]
    fn an_unknown_context_is_a_bad_argument_and_nothing_changes() {
        let mut probe = Probe::new();
        for id in [0, 3, u32::MAX] {
            assert_eq!(probe.call("proxy_set_effective_context", &[id]), Status::BadArgument);
        }
        let name = probe.put("host");
        assert_eq!(probe.get("proxy_get_header_map_value", &[0, name[0], name[1]]), Ok(b"example.org".to_vec()));
    }

    #[test]
    fn a_context_that_is_not_pending_cannot_be_done() {
        assert_eq!(Probe::new().call("proxy_done", &[]), Status::NotFound);
        assert_eq!(Probe::without_request().call("proxy_done", &[]), Status::NotFound);
    }
}
