//! Which bodies a plugin is to see.

use std::cell::Cell;

use crate::conf::BodyMode;

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
    /// Whether `proxy_on_request_body` has run.
    request_seen: Cell<bool>,
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

    /// Whether the plugin is to see the request's body now. A plugin that asks sees an empty one, too.
    pub fn wants_request(&self, mode: BodyMode, has_body: impl FnOnce() -> bool) -> bool {
        let asks = self.asks_for_request.get();
        !self.request_seen.get() && wants(mode, asks, || has_body() || asks)
    }

    /// Whether the plugin is to see the response's body.
    #[inline]
    pub fn wants_response(&self, mode: BodyMode) -> bool {
        wants(mode, self.asks_for_response.get(), || true)
    }
}

#[inline]
fn wants(mode: BodyMode, asks: bool, always: impl FnOnce() -> bool) -> bool {
    match mode {
        BodyMode::Always => always(),
        BodyMode::Property => asks,
        BodyMode::Never => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_decides_and_what_the_plugin_asked_for() {
        let bodies = Bodies::default();
        let wants = |mode| (bodies.wants_request(mode, || true), bodies.wants_response(mode));
        assert_eq!(wants(BodyMode::Always), (true, true));
        assert_eq!(wants(BodyMode::Property), (false, false));
        bodies.ask(BodyOf::Request, true);
        assert_eq!(wants(BodyMode::Property), (true, false));
        bodies.ask(BodyOf::Response, true);
        assert_eq!((wants(BodyMode::Property), wants(BodyMode::Never)), ((true, true), (false, false)));
        bodies.ask(BodyOf::Request, false);
        assert_eq!(wants(BodyMode::Property), (false, true));
    }

    #[test]
    fn a_request_without_a_body_is_seen_by_who_asks() {
        let bodies = Bodies::default();
        assert!(!bodies.wants_request(BodyMode::Always, || false));
        bodies.ask(BodyOf::Request, true);
        assert!(bodies.wants_request(BodyMode::Always, || false));
    }

    #[test]
    fn a_plugin_sees_the_requests_body_once() {
        let bodies = Bodies::default();
        bodies.ask(BodyOf::Request, true);
        bodies.see_request();
        assert!([BodyMode::Always, BodyMode::Property].iter().all(|mode| !bodies.wants_request(*mode, || true)));
        assert!(bodies.wants_response(BodyMode::Always));
    }
}
