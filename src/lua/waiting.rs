//! A Lua thread that waits for a plugin: for the responses to its calls, or until it resumes the
//! request.
//!
//! The thread waits while a call that the request made is unanswered. When all calls are answered
//! and no new one was made, the thread continues, whatever the plugin returned
//! (docs/compatibility.md, "When a request goes on"): plugins in Go return Continue after a call,
//! those in Rust return Pause and never resume. A pause without a call lasts until the plugin
//! resumes.

use std::ffi::{c_int, c_void};

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use proxy_wasm_host::abi::Action;
use proxy_wasm_host::{Failure, HttpContext};

use super::LuaPluginContext;
use super::requests::{self, Outcome};
use crate::conf::{LocConf, RequestBodyMode};
use crate::context::{NginxHost, Post, RequestContext, Slot, Verdict};
use crate::guard::guard;

/// Runs `proxy_on_request_headers` in a phase that can wait. It runs in the slot that the request
/// has for a PluginContext of Lua's; the slot is made if needed, when there is an instance for it.
/// Returns the slot, and what Lua is to do next.
pub fn request_headers<'a>(
    ctx: &'a RequestContext,
    plugin: &LuaPluginContext,
    num_headers: u32,
    end_of_stream: bool,
) -> (Option<&'a Slot>, Outcome) {
    let source = plugin.source();
    if let Some(slot) = ctx.slots.find(source) {
        return (Some(slot), run(ctx, slot, |http| http.on_request_headers(num_headers, end_of_stream)));
    }
    if ctx.must_wait(&plugin.policy) {
        if another_waits(ctx, plugin.context.plugin().name()) {
            return (None, Outcome::Error);
        }
        ctx.wait_for_instance_in_lua();
        return (None, Outcome::Pause);
    }
    ctx.release_request();
    ctx.lua_thread.calls.serve(ctx.slots.len());
    let (slot, verdict) = ctx.receive(source, &plugin.context, &plugin.policy, (num_headers, end_of_stream));
    (Some(slot), settle(ctx, slot, verdict))
}

/// Runs a callback in a phase that can wait, and returns what Lua is to do next.
pub fn run(
    ctx: &RequestContext,
    slot: &Slot,
    callback: impl FnOnce(&HttpContext<NginxHost>) -> Result<Action, Failure>,
) -> Outcome {
    ctx.lua_thread.calls.serve(slot.index());
    let verdict = ctx.call(slot, callback);
    settle(ctx, slot, verdict)
}

fn settle(ctx: &RequestContext, slot: &Slot, verdict: Verdict) -> Outcome {
    let calls = slot.calls_pending();
    let held_alone = slot.take_headers();
    let outcome = match verdict {
        Verdict::Fail | Verdict::Close => Outcome::Error,
        // If one callback makes a call and answers, the call counts.
        _ if calls => return hold(ctx, slot, true),
        Verdict::Answer(answer) => {
            ctx.set_answer(answer);
            Outcome::Answer
        }
        Verdict::Pause | Verdict::PauseByWatermark => return hold(ctx, slot, false),
        // No callback for the body would let the headers go on.
        Verdict::Continue if held_alone && !brings_body(ctx) => return hold(ctx, slot, false),
        Verdict::Continue => Outcome::Continue,
    };
    ctx.lua_thread.calls.stop();
    outcome
}

/// Whether APISIX brings the request's body to its plugins.
fn brings_body(ctx: &RequestContext) -> bool {
    let is_asked_for = || ctx.request().variable(b"wasm_process_req_body").is_some_and(|value| !value.is_empty());
    LocConf::of(ctx.request()).request_body == Some(RequestBodyMode::Whole) || is_asked_for()
}

fn hold(ctx: &RequestContext, slot: &Slot, for_calls: bool) -> Outcome {
    if another_waits(ctx, slot.plugin_name()) {
        return Outcome::Error;
    }
    ctx.lua_thread.for_calls.set(for_calls);
    ctx.lua_thread.timed_out.set(false);
    ctx.hold_for_lua(slot.index());
    Outcome::Pause
}

/// Whether another thread of the request waits. Only one can be woken: a second one would wait for
/// good.
fn another_waits(ctx: &RequestContext, plugin: &str) -> bool {
    let waits = ctx.lua_thread.any();
    if waits {
        let line = format_args!("plugin \"{plugin}\" cannot hold the request: another Lua thread of it waits already");
        ctx.request().log().print(Level::Error, line);
    }
    waits
}

/// Notes the semaphore that the running thread is about to wait on, and the function that posts it.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_wait(r: Option<Request<'_>>, semaphore: *mut c_void, post: Option<Post>) {
    guard((), || wait(r, semaphore, post));
}

fn wait(r: Option<Request>, semaphore: *mut c_void, post: Option<Post>) {
    if let (Some(ctx), Some(post)) = (r.and_then(RequestContext::of), post) {
        ctx.lua_thread.wait_on(semaphore, post);
    }
}

/// Answers what the thread is to do after it was woken.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_resumed(r: Option<Request<'_>>, context: &LuaPluginContext) -> c_int {
    let run = |ctx: &RequestContext, plugin: &LuaPluginContext| match ctx.slots.find(plugin.source()) {
        Some(slot) => resumed(ctx, slot),
        // The thread waited for an instance.
        None => requests::request_headers(ctx, plugin),
    };
    guard(Outcome::Error, || requests::on_request(r, context, run)) as c_int
}

fn resumed(ctx: &RequestContext, slot: &Slot) -> Outcome {
    let answer = ctx.take_answer();
    let outcome = if ctx.lua_thread.timed_out.get() || ctx.is_closed() || slot.has_failed() {
        Outcome::Error
    } else if slot.calls_pending() {
        return hold(ctx, slot, true);
    } else if let Some(answer) = answer {
        ctx.set_answer(answer);
        Outcome::Answer
    } else if ctx.lua_thread.for_calls.get() || !ctx.pause.holds_request() {
        Outcome::Continue
    } else {
        return Outcome::Pause;
    };
    ctx.release_request();
    ctx.lua_thread.calls.stop();
    outcome
}
