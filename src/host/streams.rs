//! Spec, "Common HTTP and TCP stream operations": resumes or closes the request's HTTP streams. TCP
//! streams are NotFound.

use proxy_wasm_host::abi::{Status, StreamType};
use proxy_wasm_host::host::{Result, StreamControl};

use crate::context::RequestStream;

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
