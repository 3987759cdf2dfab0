//! Spec v0.2.1, "Clocks".

use crate::host::Host;
use crate::memory::{Guest, Result};

hostcalls! {
    "proxy_get_current_time_nanoseconds" (return_time: u32) => get_current_time_nanoseconds(return_time);
}

fn get_current_time_nanoseconds<H: Host>(guest: &mut Guest<'_, H>, return_time: u32) -> Result {
    let (mut memory, state) = guest.split();
    Ok(memory.write_u64(return_time, state.host.now())?)
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    #[test]
    fn the_time_has_64_bits() {
        let mut probe = Probe::without_request();
        probe.host.worker().now = Some(0x0102_0304_0506_0708);
        assert_eq!(probe.call("proxy_get_current_time_nanoseconds", &[OUT]), Status::Ok);
        assert_eq!((probe.number(OUT), probe.number(OUT + 4)), (0x0506_0708, 0x0102_0304));
    }
}
