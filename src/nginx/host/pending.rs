//! Chapters of the spec that this host does not serve yet.

use super::{NginxHost, RequestStream};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::host::{ForeignFunctions, GrpcCall, GrpcCalls, HttpCall, HttpCalls, Origin, Result, Timers};

impl Timers for NginxHost {
    fn set_tick_period(&mut self, _: u32, _: u32) -> Result {
        Err(Status::Unimplemented)
    }
}

impl HttpCalls<RequestStream> for NginxHost {
    fn http_call(&mut self, _: Origin<'_, RequestStream>, _: HttpCall<'_>) -> Result<u32> {
        Err(Status::Unimplemented)
    }
}

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

impl ForeignFunctions<RequestStream> for NginxHost {
    fn call_foreign_function(&mut self, _: Origin<'_, RequestStream>, _: &[u8], _: &[u8]) -> Result<Vec<u8>> {
        Err(Status::NotFound)
    }
}
