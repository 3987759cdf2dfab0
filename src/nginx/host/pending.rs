//! Chapters of the spec that this host does not serve yet.

use super::NginxHost;
use crate::proxy_wasm::abi::{MetricType, Status};
use crate::proxy_wasm::host::{Metrics, Result, SharedData, SharedQueues};

impl SharedData for NginxHost {
    fn shared_data(&mut self, _: &[u8], _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<u32> {
        Err(Status::Unimplemented)
    }
    fn set_shared_data(&mut self, _: &[u8], _: &[u8], _: &[u8], _: u32) -> Result {
        Err(Status::Unimplemented)
    }
}

impl SharedQueues for NginxHost {
    fn register_queue(&mut self, _: u32, _: &[u8], _: &[u8]) -> Result<u32> {
        Err(Status::Unimplemented)
    }
    fn resolve_queue(&mut self, _: &[u8], _: &[u8]) -> Result<u32> {
        Err(Status::Unimplemented)
    }
    fn enqueue(&mut self, _: u32, _: &[u8]) -> Result {
        Err(Status::Unimplemented)
    }
    fn dequeue(&mut self, _: u32, _: &mut dyn FnMut(&[u8])) -> Result {
        Err(Status::Unimplemented)
    }
}

impl Metrics for NginxHost {
    fn define_metric(&mut self, _: MetricType, _: &[u8]) -> Result<u32> {
        Err(Status::Unimplemented)
    }
    fn metric(&mut self, _: u32) -> Result<u64> {
        Err(Status::Unimplemented)
    }
    fn record_metric(&mut self, _: u32, _: u64) -> Result {
        Err(Status::Unimplemented)
    }
    fn increment_metric(&mut self, _: u32, _: i64) -> Result {
        Err(Status::Unimplemented)
    }
}
