//! Where a response comes from: nginx's upstream or a handler of nginx.

use ngx_bindings::chain::Chain;
use proxy_wasm_host::response::Source;

use super::{Stop, failed};
use crate::context::{Chunk, RequestContext};

impl Source for RequestContext {
    fn begin(&self) {
        self.release_request();
        self.forget_length_of_missing_body();
    }

    fn has_active_upstream(&self) -> bool {
        self.response.latest(self.request()).has_active_upstream()
    }

    #[inline]
    fn expects_body(&self) -> bool {
        self.expects_body()
    }

    fn content_length(&self) -> Option<u64> {
        self.request().content_length()
    }

    fn is_fetched_in_parts(&self) -> bool {
        self.request().is_sliced()
    }

    fn is_subrequest(&self) -> bool {
        self.request().is_subrequest()
    }

    #[inline]
    fn is_post_action(&self) -> bool {
        self.request().is_post_action()
    }

    fn is_in_file_io(&self) -> bool {
        self.request().is_in_file_io()
    }

    #[inline]
    fn waiting(&self) -> Chunk {
        Chunk(self.response.waiting.chain())
    }

    fn next_size(&self) -> usize {
        self.response.waiting.next_size()
    }

    fn next_is_part(&self) -> bool {
        self.response.waiting.is_cutting()
    }

    fn push_waiting(&self, Chunk(chain): Chunk) -> Result<(), Stop> {
        self.response.waiting.push(self.request().pool(), chain).map_err(failed)
    }

    fn take_waiting(&self) -> Result<Chunk, Stop> {
        self.response.waiting.take(self.request().pool()).map(Chunk).map_err(failed)
    }

    fn give_back(&self, Chunk(mut taken): Chunk) {
        taken.free_links(self.request().pool());
        self.response.waiting.give_back();
    }

    fn drop_waiting(&self) {
        self.response.waiting.clear(self.request().pool());
    }
}

impl RequestContext {
    /// Appends a chain to what is put by.
    pub(super) fn append_put_by(&self, chain: Chain) -> Result<(), Stop> {
        let mut put_by = self.response.put_by.get();
        put_by.append(self.request().pool(), chain).map_err(failed)?;
        self.response.put_by.set(put_by);
        Ok(())
    }
}
