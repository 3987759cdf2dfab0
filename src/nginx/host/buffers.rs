//! Spec, "Buffers", and "Common HTTP and TCP stream operations".

use super::RequestStream;
use crate::proxy_wasm::abi::{BufferType, Status, StreamType};
use crate::proxy_wasm::host::{Buffers, Result, StreamControl};

impl Buffers for RequestStream {
    fn buffer_size(&self, _: BufferType) -> Result<usize> {
        Err(Status::NotFound)
    }

    fn read_buffer(&self, _: BufferType, _: usize, _: &mut [u8]) -> Result {
        Err(Status::NotFound)
    }

    fn replace_buffer(&mut self, _: BufferType, _: usize, _: usize, _: &[u8]) -> Result {
        Err(Status::NotFound)
    }
}

impl StreamControl for RequestStream {
    fn continue_stream(&mut self, stream: StreamType) -> Result {
        match stream {
            StreamType::HttpRequest | StreamType::HttpResponse => {
                self.ctx().resume(self.slot);
                Ok(())
            }
            StreamType::Downstream | StreamType::Upstream => Err(Status::NotFound),
        }
    }

    fn close_stream(&mut self, stream: StreamType) -> Result {
        match stream {
            StreamType::HttpRequest | StreamType::HttpResponse => Err(Status::Unimplemented),
            StreamType::Downstream | StreamType::Upstream => Err(Status::NotFound),
        }
    }
}
