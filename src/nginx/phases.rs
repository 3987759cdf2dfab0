//! Rewrite, access and log phase handlers of the native path.

use ngx_bindings::conf::Conf;
use ngx_bindings::phase::{self, Phase as NginxPhase};
use ngx_bindings::sys::{ngx_http_request_t, ngx_int_t};
use ngx_bindings::{Request, rc};

use super::configuration::{LocConf, MainConf};
use super::guard::guard;
use super::host::header_count;
use super::module;
use super::request::{RequestContext, Source, Verdict, phase_result};
use crate::config::Phase;
use crate::proxy_wasm::abi::MapType;

/// Adds the handlers. Ours run before nginx's own of the same phase, having been added after them.
pub fn register(cf: Conf) -> ngx_int_t {
    let added = phase::add_handler(cf, NginxPhase::Rewrite, on_rewrite)
        .and_then(|()| phase::add_handler(cf, NginxPhase::Access, on_access))
        .and_then(|()| phase::add_handler(cf, NginxPhase::Log, on_log));
    added.map_or_else(Into::into, |()| rc::OK)
}

unsafe extern "C" fn on_rewrite(r: *mut ngx_http_request_t) -> ngx_int_t {
    handle(r, Phase::Rewrite)
}

unsafe extern "C" fn on_access(r: *mut ngx_http_request_t) -> ngx_int_t {
    handle(r, Phase::Access)
}

fn handle(r: *mut ngx_http_request_t, phase: Phase) -> ngx_int_t {
    // SAFETY: nginx passes a valid request.
    let Some(request) = (unsafe { Request::from_ptr(r) }) else {
        return rc::DECLINED;
    };
    let loc = loc_conf(request);
    if loc.attachments.is_empty() || request.is_subrequest() {
        return rc::DECLINED;
    }
    guard(rc::ERROR, || request_headers(request, loc, phase))
}

/// `proxy_on_request_headers` of the plugins of this phase that have not seen the request yet.
fn request_headers(request: Request, loc: &LocConf, phase: Phase) -> ngx_int_t {
    let ctx = match RequestContext::of_or_new(request) {
        Ok(ctx) => ctx,
        Err(error) => return error.into(),
    };
    if ctx.is_paused() {
        return rc::DONE;
    }
    if let Some(decision) = ctx.take_decision() {
        return phase_result(ctx, decision);
    }
    for attached in loc.attachments.iter().filter(|attached| attached.phase == phase) {
        let source = Source::Directive(attached.index);
        if ctx.has(source) {
            continue;
        }
        let plugin = main_conf(request).worker().context(attached.index);
        let called = ctx.open(source, plugin, attached.failure).and_then(|slot| {
            let count = header_count(request, MapType::HttpRequestHeaders);
            let end_of_stream = !request.has_body();
            Ok((slot, ctx.call(slot, |http| http.on_request_headers(count, end_of_stream))?))
        });
        let verdict = match called {
            Ok((slot, Verdict::Pause)) => ctx.pause(slot).map_or(Verdict::Fail, |()| Verdict::Pause),
            Ok((_, verdict)) => verdict,
            Err(failure) => ctx.failed(&failure, attached.failure),
        };
        if !matches!(verdict, Verdict::Continue) {
            return phase_result(ctx, verdict);
        }
    }
    rc::DECLINED
}

unsafe extern "C" fn on_log(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request.
    if let Some(ctx) = unsafe { Request::from_ptr(r) }.and_then(RequestContext::of) {
        guard((), || ctx.finish());
    }
    rc::OK
}

/// The configuration of the location that the request is in.
pub fn loc_conf<'a>(request: Request) -> &'a LocConf {
    // SAFETY: `create_loc_conf` made one for every location; they live as long as the cycle, which outlives its requests.
    unsafe { &*request.loc_conf(module::main_module()) }
}

/// The configuration of `http`.
pub fn main_conf<'a>(request: Request) -> &'a MainConf {
    // SAFETY: as above, by `create_main_conf`.
    unsafe { &*request.main_conf(module::main_module()) }
}
