//! The plugins of a response.

use ngx_bindings::rc;
use proxy_wasm_host::abi::MapType;
use proxy_wasm_host::response::Plugins;
use proxy_wasm_host::{Callback, Dialect};

use super::Stop;
use crate::conf::LocConf;
use crate::context::{Answer, Piece, RequestContext, Slot, Source, Verdict};
use crate::host::{header_count, trailer_count};
use crate::worker::MainConf;

impl Plugins for RequestContext {
    #[inline]
    fn slots(&self, first: usize) -> impl Iterator<Item = &Slot> {
        self.slots.starting_at(first)
    }

    fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)
    }

    fn open_missing(&self) -> Verdict {
        let request = self.request();
        for (position, attached) in LocConf::of(request).lines_for(request).enumerate() {
            let source = Source::Directive(attached.index);
            if self.slots.find_near(position, source).is_none() {
                let plugin = MainConf::of(request).contexts().get(attached.index);
                match self.open(source, plugin, &attached.policy) {
                    Ok(_) | Err(Verdict::Continue) => {}
                    Err(verdict) => return verdict,
                }
            }
        }
        Verdict::Continue
    }

    #[inline]
    fn any_has(&self, callback: Callback) -> bool {
        self.any_has(callback)
    }

    #[inline]
    fn sees_body(&self, slot: &Slot) -> bool {
        !slot.is_driven_by_lua() && slot.wants_response_body(LocConf::of(self.request()).response_body())
    }

    #[inline]
    fn on_headers(&self, slot: &Slot) -> Verdict {
        // What the callback gets is found only for a plugin that has it.
        let asks = slot.has(Callback::OnResponseHeaders);
        let request = self.request();
        let count = if asks { header_count(request, MapType::HttpResponseHeaders, Dialect::Envoy) } else { 0 };
        let end_of_stream = asks && !self.expects_body();
        // The request, whose headers it may have held, has ended in another way.
        slot.release_headers();
        let verdict = self.call(slot, |http| http.on_response_headers(count, end_of_stream));
        if slot.holds_headers() && !self.sees_body(slot) {
            // No callback for the body would release the header.
            slot.release_headers();
            return self.in_background(if let Verdict::Continue = verdict { Verdict::Pause } else { verdict });
        }
        self.in_background(verdict)
    }

    #[inline]
    fn on_body(&self, slot: &Slot, piece: &mut Piece) -> Result<Verdict, Stop> {
        let (size, end_of_stream) = (u32::try_from(piece.body.size()).unwrap_or(u32::MAX), piece.marks.last);
        *self.response.body.borrow_mut() = Some(std::mem::take(&mut piece.body));
        let mut verdict = self.call_for_piece(slot, |http| http.on_response_body(size, end_of_stream));
        if slot.is_driven_by_lua() {
            verdict = verdict.without_watermark();
        }
        // Lua has no function for trailers, so the callback runs with the end of the body.
        if end_of_stream && slot.is_driven_by_lua() && matches!(verdict, Verdict::Continue) {
            let count = trailer_count(self.request());
            verdict = if count > 0 { self.on_trailers(slot, count) } else { verdict };
        }
        piece.body = self.response.body.take().ok_or(Stop::Filter(rc::ERROR))?;
        Ok(verdict)
    }

    fn on_trailers(&self, slot: &Slot, count: u32) -> Verdict {
        self.call(slot, |http| http.on_response_trailers(count))
    }

    fn count(&self, slot: &Slot, piece: &mut Piece, bytes: usize) -> bool {
        piece.body.count_for(slot.memory(), bytes).is_ok()
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    #[inline]
    fn has_answer(&self) -> bool {
        self.has_answer()
    }

    #[inline]
    fn take_answer(&self) -> Option<Box<Answer>> {
        self.take_answer()
    }
}

impl RequestContext {
    /// The header of a subrequest that runs in the background goes on: nginx does not wait for it, and
    /// nobody gets it.
    #[inline]
    fn in_background(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Pause if self.request().is_background() => Verdict::Continue,
            verdict => verdict,
        }
    }
}
