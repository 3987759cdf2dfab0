//! Spec, "Common HTTP and TCP stream operations".

use super::RequestStream;
use crate::proxy_wasm::abi::{Status, StreamType};
use crate::proxy_wasm::host::{Result, StreamControl};

impl StreamControl for RequestStream {
    fn continue_stream(&mut self, stream: StreamType) -> Result {
        match stream {
            StreamType::HttpRequest | StreamType::HttpResponse => {
                self.ctx().resume(self.slot().index(), stream);
                Ok(())
            }
            StreamType::Downstream | StreamType::Upstream => Err(Status::NotFound),
        }
    }

    fn close_stream(&mut self, stream: StreamType) -> Result {
        match stream {
            StreamType::HttpRequest | StreamType::HttpResponse => {
                self.ctx().close();
                self.ctx().after_callback();
                Ok(())
            }
            StreamType::Downstream | StreamType::Upstream => Err(Status::NotFound),
        }
    }
}
