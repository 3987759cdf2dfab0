//! The request's method, when a plugin has changed it: upstream sees the new one, but whether a body
//! follows the response's header is for the client's own to say, as with nginx's `proxy_method`.

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

    /// Whether the response has a body for the client.
    pub fn expects_body(&self) -> bool {
        self.as_client_asked(Request::expects_body)
    }

    /// An upstream that was asked for a header alone tells the length of a body that does not come.
    pub fn forget_length_of_missing_body(&self) {
        let request = self.request();
        if self.client_asks_head.get() == Some(false) && request.is_head() && request.has_upstream() {
            request.set_content_length(None);
        }
    }

    /// Runs what has to know what the client awaits: for it, the request is HEAD if it was.
    pub fn as_client_asked<R>(&self, run: impl FnOnce(Request) -> R) -> R {
        match self.client_asks_head.get() {
            Some(head) => self.request().with_head(head, run),
            None => run(self.request()),
        }
    }
}
