//! Spec, "Common HTTP and TCP stream operations": resumes or closes the request's HTTP streams. TCP
//! streams are NotFound.

use proxy_wasm_host::abi::{Status, StreamType};
use proxy_wasm_host::host::{Result, StreamControl};

use crate::context::{Piece, RequestStream};

impl StreamControl for RequestStream {
    fn inject_response_body(&mut self, bytes: &[u8], end: bool) -> Result {
        let (ctx, slot) = (self.ctx(), self.slot());
        let mut piece = Piece::injected(bytes, end);
        piece.body.count_for(slot.memory(), bytes.len())?;
        let by_lua = slot.is_driven_by_lua() && self.request().header_sent();
        if !ctx.response.state.inject(slot.index(), piece, by_lua) {
            return Err(Status::BadArgument);
        }
        ctx.after_callback();
        Ok(())
    }

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
