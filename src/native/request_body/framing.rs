//! Whether the length of a request's body is told before it.
//!
//! A handler that passes a body on unbuffered makes the header of its own request before the body has
//! come. If the client stated a length, and a plugin may change the body, that length must not be told:
//! the body goes in chunks. Where that cannot be, nginx reads the whole body before.

use ngx_bindings::chain::Chain;
use ngx_bindings::pool::AllocError;
use proxy_wasm_host::request::Upload as _;
use proxy_wasm_host::response::Ending;

use super::Stop;
use crate::conf::LocConf;
use crate::context::{Framing, RequestContext, Upload};

/// Decides, in the first call of the filter.
pub fn begin(ctx: &RequestContext, upload: &Upload) -> Result<(), AllocError> {
    let request = ctx.request();
    let stated = request.stated_length();
    let may_change = || ctx.slots.iter().any(|slot| ctx.sees(slot) && slot.may_change_body());
    let must_be_free = request.is_body_unbuffered() && stated.is_some() && may_change();
    upload.framing.set(match stated {
        Some(_) if must_be_free && !LocConf::of(request).needs_length() => {
            let rest = request.rest();
            Framing::Forgotten { rest: request.forget_length(rest)?.then_some(rest) }
        }
        Some(length) => Framing::Stated(length),
        None => Framing::Free,
    });
    if must_be_free && LocConf::of(request).needs_length() {
        request.buffer_body();
    }
    if !request.is_body_unbuffered() {
        request.let_filters_keep_buffers();
    }
    Ok(())
}

/// Notes, in each further call, what nginx has read of a body whose length it has forgotten.
pub fn read(ctx: &RequestContext, upload: &Upload, chain: Chain) {
    let Framing::Forgotten { rest: Some(rest) } = upload.framing.get() else { return };
    let rest = rest.saturating_sub(chain.size() as u64);
    upload.framing.set(Framing::Forgotten { rest: Some(rest) });
    ctx.request().set_rest(rest);
    if rest == 0 {
        chain.set_last();
    }
}

/// Tells the length of a body that has passed the plugins before its handler begins.
pub fn tell_length(ctx: &RequestContext, upload: &Upload) -> Result<(), Stop> {
    let (request, passed) = (ctx.request(), upload.passed.get());
    match upload.framing.get() {
        Framing::Stated(length) if length == passed => return Ok(()),
        Framing::Stated(_) if request.is_body_awaited() => {
            ctx.log(format_args!("plugins have changed the length of a request's body after it was told"));
            return Err(Ending::Cut);
        }
        // nginx itself tells the length of a body in chunks that nobody has changed.
        Framing::Free if !upload.changed.get() => return Ok(()),
        Framing::Free | Framing::Forgotten { .. } if request.is_body_awaited() => return Ok(()),
        Framing::Free | Framing::Forgotten { .. } | Framing::Stated(_) | Framing::Unknown => {}
    }
    request.set_length(passed).map_err(|_| Ending::Page(500))
}
