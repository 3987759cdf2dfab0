//! Spec, "Shared Queues": passes calls on to the zone of the queues ([`crate::shared`]), and wakes
//! the workers that listen.

use proxy_wasm_host::host::{Result, SharedQueues};

use super::queue_events;
use crate::context::NginxHost;

impl SharedQueues for NginxHost {
    fn register_queue(&mut self, listener: Option<u32>, vm_id: &[u8], name: &[u8]) -> Result<u32> {
        let queue = self.shared.get()?.queues.register(vm_id, name)?;
        if let Some(plugin_context) = listener {
            queue_events::register(&self.shared, queue, &self.plugin_contexts, plugin_context);
        }
        Ok(queue)
    }

    fn resolve_queue(&mut self, vm_id: &[u8], name: &[u8]) -> Result<u32> {
        Ok(self.shared.get()?.queues.resolve(vm_id, name)?)
    }

    fn enqueue(&mut self, queue: u32, value: &[u8]) -> Result {
        self.shared.get()?.queues.enqueue(queue, value)?;
        queue_events::wake();
        Ok(())
    }

    fn dequeue(&mut self, queue: u32, value: &mut Vec<u8>) -> Result {
        Ok(self.shared.get()?.queues.dequeue(queue, value)?)
    }
}
