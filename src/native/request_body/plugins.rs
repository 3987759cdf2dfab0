//! The plugins of a request's body.

use std::fmt::Arguments;
use std::mem;

use ngx_bindings::chain::Marks;
use ngx_bindings::log::Level;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;
use proxy_wasm_host::request;
use proxy_wasm_host::response::{Ending, Piece as _};

use super::{NEXT_OF_REQUEST, Stop, chain_of, framing};
use crate::context::{Answer, Body, Piece, RequestContext, Slot, Upload, Verdict};
use crate::limits::response::UNSENT;

impl request::Upload for RequestContext {
    type Slot = Slot;
    type Piece = Piece;
    type Answer = Box<Answer>;

    fn body(&self) -> &request::Body<Piece> {
        &self.request_upload().body
    }

    fn slots(&self, first: usize) -> impl Iterator<Item = &Slot> {
        self.slots.starting_at(first).filter(|slot| !slot.is_driven_by_lua())
    }

    fn sees(&self, slot: &Slot) -> bool {
        slot.streams_request_body()
    }

    fn on_body(&self, slot: &Slot, piece: &mut Piece) -> Result<Verdict, Stop> {
        let (size, end_of_stream) = (u32::try_from(piece.body.size()).unwrap_or(u32::MAX), piece.marks.last);
        *self.rare.make().request_body.borrow_mut() = Some(mem::take(&mut piece.body));
        let verdict = self.call_for_piece(slot, |http| http.on_request_body(size, end_of_stream));
        piece.body = self.take_request_body().ok_or(Ending::Page(500))?;
        Ok(verdict)
    }

    fn count(&self, slot: &Slot, piece: &mut Piece, bytes: usize) -> bool {
        piece.body.count_for(slot.memory(), bytes).is_ok()
    }

    fn pass(&self, mut piece: Piece) -> Result<(), Stop> {
        let upload = self.request_upload();
        let (size, is_last) = (piece.size() as u64, piece.is_last());
        if size == 0 && !is_last {
            piece.discard();
            return Ok(());
        }
        upload.passed.set(upload.passed.get() + size);
        upload.changed.set(upload.changed.get() || piece.is_changed());
        if is_last {
            framing::tell_length(self, upload)?;
        }
        if spill(self, upload, &mut piece)? && !is_last {
            return Ok(());
        }
        go_on(NEXT_OF_REQUEST.body(self.request(), chain_of(self, upload, piece)?))
    }

    fn log(&self, line: Arguments<'_>) {
        self.request().log().print(Level::Error, line);
    }
}

fn go_on(code: ngx_int_t) -> Result<(), Stop> {
    match code {
        rc::OK => Ok(()),
        code => Err(Ending::Page(u32::try_from(code).unwrap_or(500))),
    }
}

/// Lets nginx write a piece to the file of the body, if plugins have made more than may be in memory.
/// nginx itself, which keeps the body of a request that it reads as a whole, looks only at the bytes that
/// have come. Returns whether that was done; only the marks of the piece are left then.
fn spill(ctx: &RequestContext, upload: &Upload, piece: &mut Piece) -> Result<bool, Stop> {
    let request = ctx.request();
    if request.is_body_unbuffered() || upload.unsent.collect() + piece.body.made_size() <= UNSENT {
        return Ok(false);
    }
    let body = mem::replace(&mut piece.body, Body::copied(Vec::new(), true));
    let chain = chain_of(ctx, upload, Piece { body, marks: Marks::default() })?;
    go_on(request.with_full_body_buffer(|| NEXT_OF_REQUEST.body(request, chain)))?;
    Ok(true)
}
