//! Chapters of the spec that this host does not serve yet.

use super::{NginxHost, RequestStream};
use crate::proxy_wasm::abi::{MetricType, Status};
use crate::proxy_wasm::host::{
    ForeignFunctions, GrpcCall, GrpcCalls, Metrics, Origin, Result, SharedData, SharedQueues,
};

impl GrpcCalls<RequestStream> for NginxHost {
    fn grpc_call(&mut self, _: Origin<'_, RequestStream>, _: GrpcCall<'_>, _: &[u8], _: u32) -> Result<u32> {
        Err(Status::Unimplemented)
    }
    fn grpc_stream(&mut self, _: Origin<'_, RequestStream>, _: GrpcCall<'_>) -> Result<u32> {
        Err(Status::Unimplemented)
    }
    fn grpc_send(&mut self, _: Origin<'_, RequestStream>, _: u32, _: &[u8], _: bool) -> Result {
        Err(Status::Unimplemented)
    }
    fn grpc_cancel(&mut self, _: Origin<'_, RequestStream>, _: u32) -> Result {
        Err(Status::Unimplemented)
    }
    fn grpc_close(&mut self, _: Origin<'_, RequestStream>, _: u32) -> Result {
        Err(Status::Unimplemented)
    }
}

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

impl ForeignFunctions<RequestStream> for NginxHost {
    fn call_foreign_function(&mut self, _: Origin<'_, RequestStream>, _: &[u8], _: &[u8]) -> Result<Vec<u8>> {
        Err(Status::NotFound)
    }
}
