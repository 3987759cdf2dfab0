//! `ngx_http_upstream.h`: how a location passes the bodies of requests on to its servers.
//!
//! Each module that passes requests on has a configuration of the location which begins with that of
//! nginx's upstreams, and that begins with the servers, if the location names them without variables.

use std::ffi::CStr;

use crate::modules::{Directive, HttpModule, Location, Number};
use crate::{Conf, modules};

/// How a location passes a request's body on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passing {
    /// As a whole, or not at all.
    #[default]
    Whole,
    /// As it comes.
    AsItComes {
        /// Whether the server must know the length of the body before it comes.
        needs_length: bool,
    },
    /// As it comes if the location speaks gRPC, which it may: variables name its servers.
    AsItComesByGrpc,
}

/// The modules that pass requests on, and their directives.
pub struct Passers {
    grpc: Option<HttpModule>,
    others: Vec<Passer>,
    /// `proxy_http_version`.
    version: Option<Number>,
}

struct Passer {
    module: HttpModule,
    buffers: Directive,
    protocol: Protocol,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    FastCgi,
    /// SCGI and uwsgi begin with the length of the body.
    WithLength,
}

const OTHERS: [(&CStr, &str, Protocol); 4] = [
    (c"ngx_http_proxy_module", "proxy_request_buffering", Protocol::Http),
    (c"ngx_http_fastcgi_module", "fastcgi_request_buffering", Protocol::FastCgi),
    (c"ngx_http_scgi_module", "scgi_request_buffering", Protocol::WithLength),
    (c"ngx_http_uwsgi_module", "uwsgi_request_buffering", Protocol::WithLength),
];

/// nginx's number of HTTP/1.1.
const HTTP_1_1: usize = nginx_sys::NGX_HTTP_VERSION_11 as usize;

impl Passers {
    /// Finds the modules; called from `postconfiguration`.
    pub fn find(cf: Conf) -> Self {
        // SAFETY: a module of the cycle; nothing that it has is asked for by type.
        let module = |name: &CStr| modules::find(cf, name).map(|module| unsafe { <HttpModule>::new(module) });
        let other = |(name, directive, protocol): &(&CStr, &str, Protocol)| {
            let buffers = Directive::find(cf, name, directive)?;
            Some(Passer { module: module(name)?, buffers, protocol: *protocol })
        };
        Self {
            grpc: module(c"ngx_http_grpc_module"),
            others: OTHERS.iter().filter_map(other).collect(),
            version: Number::find(cf, c"ngx_http_proxy_module", "proxy_http_version"),
        }
    }

    /// How a location, whose configuration has been merged, passes bodies on.
    pub fn of(&self, location: Location) -> Passing {
        if !location.has_handler() {
            return Passing::Whole;
        }
        if self.grpc.is_some_and(|grpc| location.names_servers(grpc)) {
            return Passing::AsItComes { needs_length: false };
        }
        let named = self.others.iter().find(|passer| location.names_servers(passer.module));
        let as_it_comes = |passer: &&Passer| !passer.buffers.is_in_force(location);
        match named {
            Some(passer) if as_it_comes(&passer) => self.unbuffered(location, [passer].into_iter()),
            Some(_) => Passing::Whole,
            // Variables name the servers. All that may pass requests on then count.
            None if self.others.iter().any(|passer| as_it_comes(&passer)) => {
                self.unbuffered(location, self.others.iter().filter(as_it_comes))
            }
            None => Passing::AsItComesByGrpc,
        }
    }

    fn unbuffered<'a>(&self, location: Location, mut by: impl Iterator<Item = &'a Passer>) -> Passing {
        let is_http_1_0 = || self.version.is_some_and(|version| version.of(location) < HTTP_1_1);
        let needs_length = by.any(|passer| match passer.protocol {
            Protocol::Http => is_http_1_0(),
            Protocol::FastCgi => false,
            Protocol::WithLength => true,
        });
        Passing::AsItComes { needs_length }
    }
}
