//! Spec v0.2.1, "Shared Queues".

use std::sync::Arc;

use crate::abi::Status;
use crate::host::Host;
use crate::journal::Asked;
use crate::memory::{Guest, Result, ReturnBytes};
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_register_shared_queue" (name: u32, name_size: u32, return_id: u32)
        => register_shared_queue(GuestBytes { address: name, size: name_size }, return_id);
    "proxy_resolve_shared_queue" (vm_id: u32, vm_id_size: u32, name: u32, name_size: u32, return_id: u32)
        => resolve_shared_queue(
            GuestBytes { address: vm_id, size: vm_id_size },
            GuestBytes { address: name, size: name_size },
            return_id
        );
    "proxy_enqueue_shared_queue" (queue: u32, address: u32, size: u32)
        => enqueue_shared_queue(queue, GuestBytes { address, size });
    "proxy_dequeue_shared_queue" (queue: u32, data: u32, size: u32)
        => dequeue_shared_queue(queue, ReturnBytes { data, size });
}

/// Why there is no image.
const QUEUES: &str = "it used the items of queues while it started";

fn register_shared_queue<H: Host>(guest: &mut Guest<'_, H>, name: GuestBytes, return_id: u32) -> Result {
    guest.check(return_id, 4)?;
    let (memory, state) = guest.split();
    let plugin_context = state.contexts.origin().plugin_context;
    let name = memory.bytes(name)?;
    let id = state.host.register_queue(state.listener(plugin_context), state.plugin.vm_id.as_bytes(), name)?;
    state.ask(|| Asked::RegisterQueue { plugin_context, name: name.to_vec(), id });
    guest.write_u32(return_id, id)
}

/// An empty VM id means the caller's own, as in the reference host.
fn resolve_shared_queue<H: Host>(
    guest: &mut Guest<'_, H>,
    vm_id: GuestBytes,
    name: GuestBytes,
    return_id: u32,
) -> Result {
    guest.check(return_id, 4)?;
    let (memory, state) = guest.split();
    let own = Arc::clone(&state.plugin);
    let vm_id = match memory.bytes(vm_id)? {
        [] => own.vm_id.as_bytes(),
        named => named,
    };
    let name = memory.bytes(name)?;
    let found = state.host.resolve_queue(vm_id, name);
    match found {
        Ok(id) => state.ask(|| Asked::ResolveQueue { vm_id: vm_id.to_vec(), name: name.to_vec(), id }),
        // It may be there later.
        Err(_) => state.obstruct(QUEUES),
    }
    let id = found?;
    guest.write_u32(return_id, id)
}

fn enqueue_shared_queue<H: Host>(guest: &mut Guest<'_, H>, queue: u32, value: GuestBytes) -> Result {
    let (memory, state) = guest.split();
    state.obstruct(QUEUES);
    let value = memory.bytes(value)?;
    if state.is_rehearsal() { Ok(()) } else { Ok(state.host.enqueue(queue, value)?) }
}

fn dequeue_shared_queue<H: Host>(guest: &mut Guest<'_, H>, queue: u32, out: ReturnBytes) -> Result {
    guest.state().obstruct(QUEUES);
    if guest.state().is_rehearsal() {
        return Err(Status::Empty.into());
    }
    guest.give_copy(out, |value, _, state| Ok(state.host.dequeue(queue, value)?))
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    #[test]
    fn items_go_in_and_out_in_order() {
        let mut probe = Probe::without_request();
        let name = probe.put("jobs");
        assert_eq!(probe.call("proxy_register_shared_queue", &[name[0], name[1], OUT]), Status::Ok);
        let id = probe.number(OUT);
        for item in ["one", "two", ""] {
            let item = probe.put(item);
            assert_eq!(probe.call("proxy_enqueue_shared_queue", &[id, item[0], item[1]]), Status::Ok);
        }
        for item in ["one", "two", ""] {
            assert_eq!(probe.get("proxy_dequeue_shared_queue", &[id]), Ok(item.as_bytes().to_vec()));
        }
        assert_eq!(probe.get("proxy_dequeue_shared_queue", &[id]), Err(Status::Empty));
        assert_eq!(probe.get("proxy_dequeue_shared_queue", &[9]), Err(Status::NotFound));
    }

    #[test]
    fn a_queue_is_found_by_vm_and_name() {
        let mut probe = Probe::new();
        let (name, vm_id, other) = (probe.put("jobs"), probe.put("vm"), probe.put("other"));
        assert_eq!(probe.call("proxy_register_shared_queue", &[name[0], name[1], OUT]), Status::Ok);
        let mut resolve =
            |vm_id: [u32; 2]| probe.call("proxy_resolve_shared_queue", &[vm_id[0], vm_id[1], name[0], name[1], OUT]);
        assert_eq!(resolve(vm_id), Status::Ok);
        assert_eq!(resolve([0, 0]), Status::Ok);
        assert_eq!(resolve(other), Status::NotFound);
        assert_eq!(probe.host.worker().queues[0].consumers, [1]);
    }
}
