//! Where a response goes: through nginx's filters after this module's, to the client.
//!
//! An event of this module ends a response, by [`Request`].

use ngx_bindings::Request;
use ngx_bindings::chain::{Chain, Marks};
use ngx_bindings::filter::Next;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;
use proxy_wasm_host::response::{Client, Description, unreadable};

use super::{BEHIND_LUA, NEXT, Stop, failed};
use crate::context::{Answer, Body, Chunk, Piece, RequestContext};
use crate::host::trailer_count;
use crate::identity::main_module;

impl Client for RequestContext {
    #[inline]
    fn header_sent(&self) -> bool {
        self.request().header_sent()
    }

    #[inline]
    fn header_only(&self) -> bool {
        self.request().header_only()
    }

    fn cannot_wait(&self) -> Option<&'static str> {
        if self.request().status() < 200 {
            Some("an upgrade: what follows its header is not a response")
        } else if self.request().is_answered_by_filter() {
            Some("a page of nginx's own filters: nginx does not wait for it")
        } else {
            None
        }
    }

    fn header_cannot_wait(&self) -> Option<&'static str> {
        let is_range = || self.request().is_sliced() && self.request().asks_for_range();
        self.cannot_wait().or_else(|| is_range().then_some("a range of what `slice` fetches: its bytes do not wait"))
    }

    fn send_header(&self) -> Result<ngx_int_t, Stop> {
        self.send_header_by(&NEXT)
    }

    fn send_header_behind_driver(&self) -> Result<ngx_int_t, Stop> {
        self.send_header_by(&BEHIND_LUA)
    }

    fn forbid_ranges(&self) {
        self.request().forbid_ranges();
    }

    fn describe(&self, length: Option<u64>, description: Description) -> Result<(), Stop> {
        let request = self.request();
        request.set_content_length(length);
        match description {
            Description::Same => Ok(()),
            Description::MayChange => self.response.validators.weaken(request),
            Description::Changed { same_length } => self.response.validators.drop_changed(request, same_length),
        }
        .map_err(failed)
    }

    #[inline]
    fn trailer_count(&self) -> u32 {
        trailer_count(self.request())
    }

    fn expect_trailers(&self) {
        self.request().expect_trailers();
    }

    fn put_by(&self, Piece { body, marks }: Piece) -> Result<(), Stop> {
        let chain = self.chain_of(body, marks)?;
        self.append_put_by(chain)
    }

    fn put_by_size(&self) -> usize {
        self.response.put_by.get().size()
    }

    fn drop_put_by(&self) {
        let mut put_by = self.response.put_by.take();
        put_by.consume();
        put_by.free_links(self.request().pool());
    }

    #[inline]
    fn send(&self, Piece { mut body, marks }: Piece) -> Result<ngx_int_t, Stop> {
        let mut put_by = Chain::EMPTY;
        if !self.response.put_by.get().is_empty() {
            self.put_by(Piece { body, marks })?;
            put_by = self.response.put_by.take();
            body = Body::of(put_by);
        }
        if !body.suits_filters_of(self.request()) {
            body.bytes().map_err(|error| unreadable(self, &error))?;
        }
        let sent = self.pass(Chunk(self.chain_of(body, marks)?));
        put_by.free_links(self.request().pool());
        self.response.collect_unsent();
        sent
    }

    /// An empty chain is passed only while bytes wait in nginx's filters: otherwise the last of them
    /// reports an error.
    #[inline]
    fn pass(&self, Chunk(chain): Chunk) -> Result<ngx_int_t, Stop> {
        let outlet = self.outlet();
        if chain.is_empty() && !outlet.is_sending() {
            return Ok(rc::OK);
        }
        if self.request().is_subrequest() {
            chain.end_as_subrequest();
        }
        match NEXT.body(outlet, chain) {
            rc::ERROR => Err(Stop::Filter(rc::ERROR)),
            code => Ok(code),
        }
    }

    fn push(&self, at_end: bool) -> Result<ngx_int_t, Stop> {
        self.pass_bytes(Vec::new(), Marks { last: at_end, last_in_chain: at_end, flush: !at_end })
    }

    #[inline]
    fn unsent(&self) -> usize {
        self.response.collect_unsent()
    }

    fn is_sending(&self) -> bool {
        self.outlet().is_sending()
    }

    fn is_blocked(&self) -> bool {
        self.outlet().is_blocked()
    }

    fn replace_header(&self, answer: &Box<Answer>) -> Result<(), Stop> {
        answer.replace(self.request()).map_err(failed)
    }

    fn send_answer(&self, answer: Box<Answer>) -> Result<ngx_int_t, Stop> {
        self.pass_bytes(answer.body, Marks { last: true, last_in_chain: true, flush: false })
    }

    fn keep_answer(&self, answer: Box<Answer>) {
        *self.response.body.borrow_mut() = Some(Body::copied(answer.body, true));
    }

    fn send_kept_answer(&self) -> Result<ngx_int_t, Stop> {
        let body = self.response.body.take().and_then(Body::into_bytes).unwrap_or_default();
        self.pass_bytes(body, Marks { last: true, last_in_chain: true, flush: false })
    }

    fn page_as_answer(&self, status: u32) -> Box<Answer> {
        let text = if status == 503 { &b"503 Service Temporarily Unavailable\n"[..] } else { b"" };
        Box::new(Answer::text(status, text))
    }

    fn send_page(&self, status: u32) -> ngx_int_t {
        match self.request().replace_response(main_module(), status as ngx_int_t) {
            // The client has not taken all of the page. An upstream that is not told to end would
            // continue without its contexts, which nginx has cleared, and gRPC's upstream needs its
            // own.
            rc::AGAIN => rc::ERROR,
            code => code,
        }
    }

    fn page_of(code: ngx_int_t) -> Option<u32> {
        u32::try_from(code).ok().filter(|status| *status > 0)
    }

    fn end_with_page(&self, status: u32, source_is_over: bool) {
        // SAFETY: the pipeline ends with this: the request may be gone.
        unsafe { self.request().end_with_page(main_module(), status as ngx_int_t, source_is_over) }
    }

    fn refuse_output(&self) {
        self.request().refuse_output();
    }

    fn cut_off(&self) {
        // SAFETY: the pipeline ends with this: the request may be gone.
        unsafe { self.request().cut_off() }
    }

    fn finish_answered(&self) {
        // SAFETY: the pipeline ends with this: the request may be gone.
        unsafe { self.request().finish_answered() }
    }
}

impl RequestContext {
    fn send_header_by(&self, filters: &Next) -> Result<ngx_int_t, Stop> {
        match self.as_client_asked(|request| filters.header(request)) {
            // A header filter answers with a status if the response is to be a page of nginx's.
            code if code == rc::ERROR || code > rc::OK => Err(Stop::Filter(code)),
            code => Ok(code),
        }
    }

    /// Returns the request through which the body is sent.
    #[inline]
    pub(super) fn outlet(&self) -> Request<'_> {
        let request = self.request();
        request.outlet(self.response.latest(request))
    }

    /// Returns what is to be sent: nginx's buffers as they came, or one of this module's.
    #[inline]
    fn chain_of(&self, body: Body, marks: Marks) -> Result<Chain, Stop> {
        match body.into_owned_or_chain() {
            Ok(made) => self.response.unsent.make().add(self.request(), made, marks).map_err(failed),
            Err(chain) => Ok(chain),
        }
    }

    fn pass_bytes(&self, bytes: Vec<u8>, marks: Marks) -> Result<ngx_int_t, Stop> {
        let chain = self.response.unsent.make().add(self.request(), (bytes, None), marks).map_err(failed)?;
        self.pass(Chunk(chain))
    }
}
