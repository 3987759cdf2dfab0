//! Header and body filter of the native path.

use ngx_bindings::filter::Next;
use ngx_bindings::sys::{ngx_chain_t, ngx_http_request_t, ngx_int_t};
use ngx_bindings::{Request, rc};

use super::guard::guard;
use super::host::header_count;
use super::phases::{loc_conf, main_conf};
use super::request::{RequestContext, Source, Verdict};
use crate::proxy_wasm::abi::MapType;

/// The filters that stood at the top when ours were put there.
static NEXT: Next = Next::new();

/// Puts our filters at the top of the chains.
pub fn register() {
    NEXT.push(header_filter, body_filter);
}

unsafe extern "C" fn header_filter(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request.
    let Some(request) = (unsafe { Request::from_ptr(r) }) else {
        return rc::ERROR;
    };
    if request.is_subrequest() || (loc_conf(request).attachments.is_empty() && RequestContext::of(request).is_none()) {
        return NEXT.header(request);
    }
    guard(rc::ERROR, || response_headers(request))
}

/// `proxy_on_response_headers` of every plugin of the request, once.
fn response_headers(request: Request) -> ngx_int_t {
    let ctx = match RequestContext::of_or_new(request) {
        Ok(ctx) => ctx,
        Err(error) => return error.into(),
    };
    if ctx.respond_once() {
        return NEXT.header(request);
    }
    // nginx may answer before a plugin's phase has come; the plugin then sees the response alone, as with Envoy.
    for attached in &loc_conf(request).attachments {
        let source = Source::Directive(attached.index);
        if !ctx.has(source) {
            let plugin = main_conf(request).worker().context(attached.index);
            if let Err(failure) = ctx.open(source, plugin, attached.failure)
                && let Verdict::Fail = ctx.failed(&failure, attached.failure)
            {
                return request.replace_response(super::module::main_module(), rc::SERVICE_UNAVAILABLE);
            }
        }
    }
    for slot in 0..ctx.len() {
        if ctx.is_driven_by_lua(slot) {
            continue;
        }
        let count = header_count(request, MapType::HttpResponseHeaders);
        let end_of_stream = request.header_only() || request.content_length() == Some(0);
        let verdict = match ctx.call(slot, |http| http.on_response_headers(count, end_of_stream)) {
            Ok(verdict) => verdict,
            Err(failure) => ctx.failed(&failure, ctx.policy(slot)),
        };
        match verdict {
            Verdict::Continue | Verdict::Pause => {}
            Verdict::Answer(answer) => return request.replace_response(super::module::main_module(), answer.status as ngx_int_t),
            Verdict::Fail => return request.replace_response(super::module::main_module(), rc::SERVICE_UNAVAILABLE),
        }
    }
    NEXT.header(request)
}

unsafe extern "C" fn body_filter(r: *mut ngx_http_request_t, chain: *mut ngx_chain_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request.
    match unsafe { Request::from_ptr(r) } {
        Some(request) => NEXT.body(request, chain),
        None => rc::ERROR,
    }
}
