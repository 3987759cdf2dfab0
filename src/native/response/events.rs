//! nginx's loop, for a response: the pause timeout and this module's event, and nginx's own events
//! of the request.

use std::fmt::Arguments;

use ngx_bindings::log::Level;
use proxy_wasm_host::response::Events;

use crate::context::RequestContext;

impl Events for RequestContext {
    fn set_held(&self, held: bool) {
        self.request().set_buffered(held);
    }

    #[inline]
    fn set_body_held(&self, held: bool) {
        self.outlet().set_buffered(held);
    }

    fn start_clock(&self) {
        self.pause_response();
    }

    #[inline]
    fn stop_clock(&self) {
        self.stop_clock();
    }

    fn wake_soon(&self) {
        self.wake_soon();
    }

    fn wake_in(&self, milliseconds: u32) {
        self.wake_in(milliseconds);
    }

    fn wait_with_client(&self) {
        let outlet = self.outlet();
        outlet.stop_send_timeout();
        outlet.look_at_client();
    }

    fn resume_writing(&self) {
        // SAFETY: the pipeline ends with this: the request may be gone.
        unsafe { self.outlet().resume_writing() }
    }

    fn log(&self, line: Arguments<'_>) {
        self.request().log().print(Level::Error, line);
    }
}
