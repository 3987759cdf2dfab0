//! Which bodies a plugin is to see.

use std::cell::Cell;

use crate::conf::{BodyMode, RequestBodyMode};

/// One of a request's two bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyOf {
    /// The body that the client sends.
    Request,
    /// The body that the client gets.
    Response,
}

/// What the request knows about a plugin and its bodies.
#[derive(Default)]
pub struct Bodies {
    /// Whether `proxy_on_request_body` has run, or runs with each piece.
    request_seen: Cell<bool>,
    /// Whether `proxy_on_request_body` runs with each piece.
    request_streams: Cell<bool>,
    /// Whether the plugin set APISIX's property that asks for the request's body.
    asks_for_request: Cell<bool>,
    /// Whether the plugin set APISIX's property that asks for the response's body.
    asks_for_response: Cell<bool>,
}

impl Bodies {
    /// Notes what the plugin asked for.
    pub fn ask(&self, body: BodyOf, wanted: bool) {
        match body {
            BodyOf::Request => self.asks_for_request.set(wanted),
            BodyOf::Response => self.asks_for_response.set(wanted),
        }
    }

    /// Notes that the plugin has seen the request's body.
    pub fn see_request(&self) {
        self.request_seen.set(true);
    }

    /// Notes that the plugin sees the request's body as it comes.
    pub fn stream_request(&self) {
        if !self.request_seen.replace(true) {
            self.request_streams.set(true);
        }
    }

    /// Whether the plugin sees the request's body as it comes.
    #[inline]
    pub fn request_streams(&self) -> bool {
        self.request_streams.get()
    }

    /// Whether the plugin is to see the request's body as a whole now. A plugin that asks sees an
    /// empty one, too.
    pub fn wants_request(&self, mode: RequestBodyMode, has_body: impl FnOnce() -> bool) -> bool {
        let asks = self.asks_for_request.get();
        !self.request_seen.get()
            && match mode {
                RequestBodyMode::Whole => has_body() || asks,
                RequestBodyMode::Property => asks,
                RequestBodyMode::Stream | RequestBodyMode::Never => false,
            }
    }

    /// Whether the plugin is to see the response's body.
    #[inline]
    pub fn wants_response(&self, mode: BodyMode) -> bool {
        match mode {
            BodyMode::Always => true,
            BodyMode::Property => self.asks_for_response.get(),
            BodyMode::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_decides_and_what_the_plugin_asked_for() {
        let bodies = Bodies::default();
        let request = |mode| bodies.wants_request(mode, || true);
        assert!(request(RequestBodyMode::Whole) && bodies.wants_response(BodyMode::Always));
        assert!(!request(RequestBodyMode::Property) && !bodies.wants_response(BodyMode::Property));
        bodies.ask(BodyOf::Request, true);
        assert!(request(RequestBodyMode::Property) && !bodies.wants_response(BodyMode::Property));
        bodies.ask(BodyOf::Response, true);
        assert!(bodies.wants_response(BodyMode::Property));
        assert!(!request(RequestBodyMode::Never) && !bodies.wants_response(BodyMode::Never));
        bodies.ask(BodyOf::Request, false);
        assert!(!request(RequestBodyMode::Property) && bodies.wants_response(BodyMode::Property));
    }

    #[test]
    fn a_request_without_a_body_is_seen_by_who_asks() {
        let bodies = Bodies::default();
        assert!(!bodies.wants_request(RequestBodyMode::Whole, || false));
        bodies.ask(BodyOf::Request, true);
        assert!(bodies.wants_request(RequestBodyMode::Whole, || false));
    }

    #[test]
    fn a_body_that_is_seen_as_it_comes_is_not_seen_as_a_whole() {
        let bodies = Bodies::default();
        assert!(!bodies.wants_request(RequestBodyMode::Stream, || true));
        bodies.stream_request();
        assert!(bodies.request_streams() && !bodies.wants_request(RequestBodyMode::Whole, || true));
        let seen = Bodies::default();
        seen.see_request();
        seen.stream_request();
        assert!(!seen.request_streams(), "who has seen it sees nothing more of it");
    }

    #[test]
    fn a_plugin_sees_the_requests_body_once() {
        let bodies = Bodies::default();
        bodies.ask(BodyOf::Request, true);
        bodies.see_request();
        let modes = [RequestBodyMode::Whole, RequestBodyMode::Property];
        assert!(modes.iter().all(|mode| !bodies.wants_request(*mode, || true)));
        assert!(bodies.wants_response(BodyMode::Always));
    }
}
