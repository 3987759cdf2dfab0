//! The directives of a location, and of the `server` and `http` levels above it.

use std::cell::Cell;
use std::cmp::Reverse;
use std::rc::Rc;

use ngx_bindings::Request;
use ngx_bindings::modules::HttpModule;
use ngx_bindings::passing::Passing;
use proxy_wasm_host::config::{FailurePolicy, PauseScope, Phase, Resume};

use crate::host_memory::HostMemory;
use crate::identity::main_module_of;
use crate::limits::request::PAUSE_TIMEOUT;

/// The directives of a location.
#[derive(Default)]
pub struct LocConf {
    /// Whether `proxy_wasm off` stands at this level.
    pub off: bool,
    /// The attachments that are written at this level, by index.
    pub own: Vec<usize>,
    /// All attachments of requests in this location, in the order in which they run.
    pub attachments: Vec<Attached>,
    /// `wasm_request_body`, if it is set here or above.
    pub request_body: Option<RequestBodyMode>,
    /// `wasm_response_body`, if it is set here or above.
    pub response_body: Option<BodyMode>,
    /// `wasm_pause_timeout` in milliseconds, if it is set here or above.
    pub pause_timeout: Option<u32>,
    /// Whether `slice` fetches responses in parts here, and plugins may change their bodies.
    pub is_changed_in_parts: Cell<bool>,
    /// How nginx passes the bodies of requests on.
    pub passing: Cell<Passing>,
}

/// When `proxy_on_request_body` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBodyMode {
    /// Once, with the whole body, before the request goes on.
    Whole,
    /// With each piece, as nginx reads the body for whoever wants it.
    Stream,
    /// As `Whole`, if the plugin asked for it by `wasm_process_req_body`, as in APISIX.
    Property,
    /// Never.
    Never,
}

/// When `proxy_on_response_body` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Whenever there is a body, as the spec says.
    Always,
    /// If the plugin asked for it by `wasm_process_resp_body`, as in APISIX.
    Property,
    /// Never.
    Never,
}

/// A `proxy_wasm` line, with the facts that a request needs about its plugin.
#[derive(Clone)]
pub struct Attached {
    /// Index into [`HttpConf::attachments`](super::HttpConf::attachments).
    pub index: usize,
    pub phase: Phase,
    pub policy: Rc<Policy>,
    pub priority: i64,
    /// Whether the line stands in a location. Lines of `http` and `server` run before those of
    /// locations.
    pub in_location: bool,
    /// Whether the plugin gets subrequests, too.
    pub subrequests: bool,
}

/// What the operator set for the requests of a plugin, as opposed to its VM.
#[derive(Debug)]
pub struct Policy {
    /// What happens to a request whose plugin failed.
    pub failure: FailurePolicy,
    /// How many bytes of a body may wait for the plugin.
    pub body_buffer_size: usize,
    /// What waits when the plugin pauses in headers; `None` if the plugin's ABI decides.
    pub pause: Option<PauseScope>,
    /// What resumes a message that the plugin holds.
    pub resume: Resume,
    /// How many bytes a worker may keep for the plugin.
    pub memory: HostMemory,
    /// How many instances the requests of a worker may have for themselves, if each request of the
    /// plugin has its own.
    pub own_instances: Option<usize>,
}

impl LocConf {
    /// The module, to ask nginx for a location's configuration.
    #[inline]
    pub fn module() -> HttpModule<(), Self> {
        // SAFETY: this is what `create_loc_conf` makes, for every location.
        unsafe { main_module_of() }
    }

    /// Returns the configuration of the request's current location.
    #[inline]
    pub fn of(request: Request<'_>) -> &Self {
        request.loc_conf(Self::module())
    }

    /// Merges the level above into this one. `lines` are all `proxy_wasm` lines of the
    /// configuration.
    pub fn merge(&mut self, above: &Self, lines: &[Attached]) {
        self.request_body = self.request_body.or(above.request_body);
        self.response_body = self.response_body.or(above.response_body);
        self.pause_timeout = self.pause_timeout.or(above.pause_timeout);
        if !self.off {
            self.attachments.extend_from_slice(&above.attachments);
            // nginx never merges `http` itself, which has no level above. Its own lines are added
            // here.
            if above.attachments.is_empty() {
                self.attachments.extend(above.own.iter().map(|&index| lines[index].clone()));
            }
        }
        self.attachments.extend(self.own.iter().map(|&index| lines[index].clone()));
        self.attachments.sort_by_key(|line| (line.in_location, Reverse(line.priority)));
    }

    /// The lines whose plugins get a request in this location: of a subrequest, those that say so.
    #[inline]
    pub fn lines_for(&self, request: Request) -> impl Iterator<Item = &Attached> {
        self.lines(request.is_subrequest())
    }

    #[inline]
    fn lines(&self, of_subrequest: bool) -> impl Iterator<Item = &Attached> {
        self.attachments.iter().filter(move |line| !of_subrequest || line.subrequests)
    }

    /// Whether any plugin gets a request in this location.
    #[inline]
    pub fn has_lines_for(&self, request: Request) -> bool {
        !self.attachments.is_empty() && self.lines_for(request).next().is_some()
    }

    /// When `proxy_on_request_body` runs for a request in this location.
    pub fn request_body(&self, request: Request) -> RequestBodyMode {
        self.request_body.unwrap_or_else(|| match self.passing.get() {
            Passing::AsItComes { .. } => RequestBodyMode::Stream,
            Passing::AsItComesByGrpc if request.is_grpc() => RequestBodyMode::Stream,
            Passing::AsItComesByGrpc | Passing::Whole => RequestBodyMode::Whole,
        })
    }

    /// Whether who gets the bodies of requests must know their lengths before.
    pub fn needs_length(&self) -> bool {
        self.passing.get() == Passing::AsItComes { needs_length: true }
    }

    /// When `proxy_on_response_body` runs in this location.
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
        let policy = Policy {
            failure: FailurePolicy::Closed,
            body_buffer_size: 0,
            pause: None,
            resume: Resume::Plugin,
            memory,
            own_instances: None,
        };
        Attached {
            index,
            phase: Phase::Access,
            policy: Rc::new(policy),
            priority,
            in_location,
            subrequests: index.is_multiple_of(2),
        }
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
    fn subrequests_get_to_the_plugins_whose_lines_say_so() {
        let lines = [0, 1, 2, 3].map(|index| line(index, 0, true));
        let mut location = level(&[0, 1, 2, 3]);
        location.merge(&level(&[]), &lines);
        let indexes = |of_subrequest| location.lines(of_subrequest).map(|line| line.index).collect::<Vec<_>>();
        assert_eq!((indexes(false), indexes(true)), (vec![0, 1, 2, 3], vec![0, 2]));
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
        let above =
            LocConf { request_body: Some(RequestBodyMode::Never), pause_timeout: Some(5), ..LocConf::default() };
        let mut conf = LocConf { request_body: Some(RequestBodyMode::Property), ..LocConf::default() };
        conf.merge(&above, &[]);
        assert_eq!((conf.request_body, conf.response_body()), (Some(RequestBodyMode::Property), BodyMode::Always));
        assert_eq!(conf.pause_timeout(), 5);
        assert_eq!(LocConf::default().pause_timeout(), PAUSE_TIMEOUT);
    }
}
