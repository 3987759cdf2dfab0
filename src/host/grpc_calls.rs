//! Spec, "gRPC calls": starts, sends on, closes and cancels calls and streams. [`crate::calls`] has
//! the client.

use std::rc::Rc;

use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{GrpcCall, GrpcCalls, Origin, Result};
use proxy_wasm_host::outgoing::metadata::BadRequest;

use super::http_calls::resolver;
use crate::calls::{BadGrpcCall, Kind, NotSent, Outbox, OutgoingGrpc};
use crate::context::{NginxHost, RequestStream};
use crate::host_memory::HostMemory;
use crate::task::{OnQuit, spawn};

impl GrpcCalls<RequestStream> for NginxHost {
    fn grpc_call(
        &mut self,
        origin: Origin<'_, RequestStream>,
        call: GrpcCall<'_>,
        message: &[u8],
        timeout_ms: u32,
    ) -> Result<u32> {
        let timeout = match timeout_ms as i32 {
            negative @ ..0 => {
                self.complain(origin.stream, format_args!("invalid timeout: {negative}"));
                return Err(Status::BadArgument);
            }
            0 => None,
            _ => Some(timeout_ms),
        };
        let caller = self.caller(&origin)?;
        let memory = self.memory_of(origin.stream);
        let outbox = Outbox::new(memory);
        outbox.send(message, self.client.response_limit()).map_err(Status::from)?;
        outbox.end();
        let outgoing = self.outgoing(&origin, &call, memory, outbox, timeout)?;
        let (id, client) = (self.client.next_id(), Rc::clone(&self.client));
        let task = spawn(OnQuit::Forget, outgoing.call(client, caller, id));
        self.calls_of(origin.stream).insert(id, Kind::Unary, task);
        Ok(id)
    }

    fn grpc_stream(&mut self, origin: Origin<'_, RequestStream>, call: GrpcCall<'_>) -> Result<u32> {
        let caller = self.caller(&origin)?;
        let memory = self.memory_of(origin.stream);
        let outbox = Outbox::new(memory);
        let outgoing = self.outgoing(&origin, &call, memory, outbox.clone(), None)?;
        let (id, client) = (self.client.next_id(), Rc::clone(&self.client));
        let task = spawn(OnQuit::Forget, outgoing.stream(client, caller, id));
        self.calls_of(origin.stream).insert(id, Kind::Stream(outbox), task);
        Ok(id)
    }

    fn grpc_send(&mut self, origin: Origin<'_, RequestStream>, id: u32, message: &[u8], end_of_stream: bool) -> Result {
        let outbox = match self.calls_of(origin.stream).kind(id) {
            Some(Kind::Stream(outbox)) => outbox,
            Some(Kind::Unary) => return Err(Status::BadArgument),
            Some(Kind::Http | Kind::OfLua) | None => return Err(Status::NotFound),
        };
        outbox.send(message, self.client.response_limit()).map_err(Status::from)?;
        if end_of_stream {
            outbox.end();
        }
        Ok(())
    }

    /// Cancels a call or a stream. The plugin gets no further callback about it.
    fn grpc_cancel(&mut self, origin: Origin<'_, RequestStream>, id: u32) -> Result {
        let calls = self.calls_of(origin.stream);
        match calls.kind(id) {
            Some(Kind::Stream(_) | Kind::Unary) => {
                calls.cancel(id);
                Ok(())
            }
            Some(Kind::Http | Kind::OfLua) | None => Err(Status::NotFound),
        }
    }

    /// Closes a stream or cancels a call, as in Envoy: the plugin sends nothing more on a stream,
    /// but gets callbacks about it until the server closes it, too.
    fn grpc_close(&mut self, origin: Origin<'_, RequestStream>, id: u32) -> Result {
        let calls = self.calls_of(origin.stream);
        match calls.kind(id) {
            Some(Kind::Stream(outbox)) => outbox.end(),
            Some(Kind::Unary) => calls.cancel(id),
            Some(Kind::Http | Kind::OfLua) | None => return Err(Status::NotFound),
        }
        Ok(())
    }
}

impl From<NotSent> for Status {
    fn from(reason: NotSent) -> Self {
        match reason {
            NotSent::Ended | NotSent::TooLong => Self::BadArgument,
            NotSent::Full => Self::InternalFailure,
        }
    }
}

impl NginxHost {
    fn outgoing(
        &self,
        origin: &Origin<'_, RequestStream>,
        call: &GrpcCall<'_>,
        memory: HostMemory,
        outbox: Outbox,
        timeout: Option<u32>,
    ) -> Result<OutgoingGrpc> {
        let stream = origin.stream;
        let names = self.client.names(self.dialect_of(stream));
        OutgoingGrpc::new(call, memory, outbox, timeout, (&names, resolver(stream))).map_err(|reason| {
            match reason {
                BadGrpcCall::Memory(status) => return status,
                BadGrpcCall::Upstream(name) => self.refuse_name(stream, "grpc call gets invalid service", &name),
                BadGrpcCall::Request(BadRequest::Method) => {
                    let (service, method) = (call.service.escape_ascii(), call.method.escape_ascii());
                    self.complain(stream, format_args!("grpc call gets invalid method: /{service}/{method}"));
                }
                BadGrpcCall::Request(BadRequest::Metadata(name)) => {
                    self.complain(stream, format_args!("grpc call gets invalid metadata: {}", name.escape_ascii()));
                }
            }
            Status::BadArgument
        })
    }
}
