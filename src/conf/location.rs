//! What stands in a location, and in `server` and `http` above it.

use std::cell::Cell;
use std::cmp::Reverse;

use ngx_bindings::Request;
use proxy_wasm_host::config::{FailurePolicy, Phase};

use crate::host_memory::HostMemory;
use crate::identity::main_module;
use crate::limits::request::PAUSE_TIMEOUT;

/// The directives of a location.
#[derive(Default)]
pub struct LocConf {
    /// `proxy_wasm off` at this level.
    pub off: bool,
    /// Attachments written at this level.
    pub own: Vec<usize>,
    /// The lines that requests here meet, in the order they run.
    pub attachments: Vec<Attached>,
    /// `wasm_request_body`, if it stands here or above.
    pub request_body: Option<BodyMode>,
    /// `wasm_response_body`, if it stands here or above.
    pub response_body: Option<BodyMode>,
    /// `wasm_pause_timeout` in milliseconds, if it stands here or above.
    pub pause_timeout: Option<u32>,
    /// `slice` fetches responses in parts, and plugins may change them.
    pub is_changed_in_parts: Cell<bool>,
}

/// When a plugin's body callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Whenever there is a body: the spec.
    Always,
    /// When the plugin asked by `wasm_process_req_body` or `wasm_process_resp_body`: APISIX's rule.
    Property,
    /// Never.
    Never,
}

/// A `proxy_wasm` line, with what a request needs to know of its plugin.
#[derive(Clone, Copy)]
pub struct Attached {
    /// Index into [`HttpConf::attachments`](super::HttpConf::attachments).
    pub index: usize,
    pub phase: Phase,
    pub policy: Policy,
    pub priority: i64,
    /// Lines of `http` and `server` run before those of locations.
    pub in_location: bool,
}

/// What the operator decided about a plugin that concerns its requests, not its VM.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What happens to a request whose plugin failed.
    pub failure: FailurePolicy,
    /// Bytes of a body that may wait for the plugin.
    pub body_buffer_size: usize,
    /// What a worker may keep for it.
    pub memory: HostMemory,
}

impl LocConf {
    /// Of the location that the request is in.
    #[inline]
    pub fn of<'a>(request: Request) -> &'a Self {
        // SAFETY: `create_loc_conf` made one for every location; they live as long as the cycle, which outlives its requests.
        unsafe { &*request.loc_conf(main_module()) }
    }

    /// Adds what stands at this level to what the level above has. `lines` are all of `proxy_wasm`.
    pub fn merge(&mut self, above: &Self, lines: &[Attached]) {
        self.request_body = self.request_body.or(above.request_body);
        self.response_body = self.response_body.or(above.response_body);
        self.pause_timeout = self.pause_timeout.or(above.pause_timeout);
        if !self.off {
            self.attachments.extend_from_slice(&above.attachments);
            // `http` has nothing above it and is never merged itself.
            if above.attachments.is_empty() {
                self.attachments.extend(above.own.iter().map(|&index| lines[index]));
            }
        }
        self.attachments.extend(self.own.iter().map(|&index| lines[index]));
        self.attachments.sort_by_key(|line| (line.in_location, Reverse(line.priority)));
    }

    /// When `proxy_on_request_body` runs.
    pub fn request_body(&self) -> BodyMode {
        self.request_body.unwrap_or(BodyMode::Always)
    }

    /// When `proxy_on_response_body` runs.
    pub fn response_body(&self) -> BodyMode {
        self.response_body.unwrap_or(BodyMode::Always)
    }

    /// How long a plugin may hold a request or a response, in milliseconds.
    pub fn pause_timeout(&self) -> u32 {
        self.pause_timeout.unwrap_or(PAUSE_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(index: usize, priority: i64, in_location: bool) -> Attached {
        let memory = HostMemory::of("merged", 0, 0);
        let policy = Policy { failure: FailurePolicy::Closed, body_buffer_size: 0, memory };
        Attached { index, phase: Phase::Access, policy, priority, in_location }
    }

    fn level(own: &[usize]) -> LocConf {
        LocConf { own: own.into(), ..LocConf::default() }
    }

    fn order(conf: &LocConf) -> Vec<usize> {
        conf.attachments.iter().map(|line| line.index).collect()
    }

    #[test]
    fn lines_of_outer_levels_run_first_then_by_priority_then_as_written() {
        let lines = [line(0, 0, false), line(1, 5, false), line(2, 0, true), line(3, 9, true), line(4, 0, true)];
        let (http, mut server, mut location) = (level(&[0]), level(&[1]), level(&[2, 3, 4]));
        server.merge(&http, &lines);
        location.merge(&server, &lines);
        assert_eq!(order(&location), [1, 0, 3, 2, 4]);
    }

    #[test]
    fn off_keeps_out_what_stands_above() {
        let lines = [line(0, 0, false), line(1, 0, true), line(2, 0, true)];
        let (http, mut server) = (level(&[0]), level(&[]));
        server.merge(&http, &lines);
        let mut off = LocConf { off: true, ..level(&[1]) };
        off.merge(&server, &lines);
        assert_eq!(order(&off), [1]);
        let mut inner = level(&[2]);
        inner.merge(&off, &lines);
        assert_eq!(order(&inner), [1, 2]);
    }

    #[test]
    fn settings_come_from_the_innermost_level_that_says_something() {
        let above = LocConf { request_body: Some(BodyMode::Never), pause_timeout: Some(5), ..LocConf::default() };
        let mut conf = LocConf { request_body: Some(BodyMode::Property), ..LocConf::default() };
        conf.merge(&above, &[]);
        assert_eq!((conf.request_body(), conf.response_body()), (BodyMode::Property, BodyMode::Always));
        assert_eq!(conf.pause_timeout(), 5);
        assert_eq!(LocConf::default().pause_timeout(), PAUSE_TIMEOUT);
    }
}
