//! The request's method, if a plugin has changed it. Upstream sees the new method, but the client's
//! own method decides whether a body follows the response's header, as with nginx's `proxy_method`.

use ngx_bindings::Request;
use ngx_bindings::pool::AllocError;

use super::RequestContext;

impl RequestContext {
    /// Sets the method that nginx and upstream see.
    pub fn set_method(&self, name: &[u8]) -> Result<(), AllocError> {
        let request = self.request();
        let head = self.client_asks_head.get().unwrap_or_else(|| request.is_head());
        self.client_asks_head.set(Some(head));
        request.set_method(name)
    }

    /// Whether the client expects a body in the response.
    #[inline(always)]
    pub fn expects_body(&self) -> bool {
        self.as_client_asked(|request| request.expects_body())
    }

    /// Removes the length if the upstream was asked with HEAD: it describes a body that does not
    /// come.
    pub fn forget_length_of_missing_body(&self) {
        let request = self.request();
        if self.client_asks_head.get() == Some(false) && request.is_head() && request.has_upstream() {
            request.set_content_length(None);
        }
    }

    /// Runs code that must know what the client expects. While it runs, the request is HEAD only if
    /// the client asked with HEAD.
    #[inline(always)]
    pub fn as_client_asked<R>(&self, run: impl FnOnce(Request) -> R) -> R {
        match self.client_asks_head.get() {
            Some(head) => self.request().with_head(head, run),
            None => run(self.request()),
        }
    }
}
