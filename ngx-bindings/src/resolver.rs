//! `ngx_resolver.h`: resolves host names with the `resolver` directive.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nginx_sys::{
    self as sys, ngx_http_core_loc_conf_t, ngx_msec_t, ngx_resolver_addr_t, ngx_resolver_ctx_t, ngx_resolver_t,
};

use crate::guard::guard;
use crate::inet::Address;
use crate::{Request, cycle, modules, rc, string};

/// The resolver of a location. It has no lifetime, because calls outlive their request: the resolver
/// is part of the configuration, which a worker keeps until it ends.
#[derive(Clone, Copy, Debug)]
pub struct Resolver {
    resolver: NonNull<ngx_resolver_t>,
    timeout: ngx_msec_t,
}

/// The longest name, with a dot at its end.
const LONGEST: usize = 254;

/// Why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// There is no `resolver` directive.
    NoResolver,
    /// nginx had no memory for the query.
    NoMemory,
    /// The server's error, or that it did not answer.
    Failed(String),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResolver => f.write_str("no resolver defined"),
            Self::NoMemory => f.write_str("out of memory"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ResolveError {}

impl Resolver {
    /// The resolver of the location that the request is in.
    pub fn of(request: Request) -> Option<Self> {
        Self::from_conf(request.core_loc_conf())
    }

    /// The resolver of `http`, for work without a request.
    pub fn of_http() -> Option<Self> {
        cycle::with_loc_conf(modules::http_core(), Self::from_conf)
    }

    fn from_conf(conf: &ngx_http_core_loc_conf_t) -> Option<Self> {
        Some(Self { resolver: NonNull::new(conf.resolver)?, timeout: conf.resolver_timeout })
    }

    /// Resolves a name; the port of the addresses is 0. A worker that is told to quit does not wait
    /// for the answer.
    ///
    /// # Errors
    ///
    /// When the query could not be made.
    pub fn resolve(self, name: &str) -> Result<Resolving, ResolveError> {
        // nginx keeps the length in 16 bits.
        if name.len() > LONGEST {
            return Err(ResolveError::Failed("the name is too long".to_owned()));
        }
        // SAFETY: the resolver lives as long as the configuration.
        let ctx = unsafe { sys::ngx_resolve_start(self.resolver.as_ptr(), std::ptr::null_mut()) };
        // `NGX_NO_RESOLVER`: a location without the directive has an empty resolver.
        if ctx as isize == -1 {
            return Err(ResolveError::NoResolver);
        }
        let mut ctx = NonNull::new(ctx).ok_or(ResolveError::NoMemory)?;
        let question = Rc::new(Question {
            name: name.into(),
            ctx: Cell::new(Some(ctx)),
            waker: RefCell::default(),
            answer: RefCell::default(),
        });
        // SAFETY: nginx keeps the context until the handler or `Resolving::drop` ends it.
        let raw = unsafe { ctx.as_mut() };
        raw.name = string::borrowed(question.name.as_bytes());
        raw.timeout = self.timeout;
        raw.set_cancelable(1);
        raw.data = Rc::as_ptr(&question).cast_mut().cast();
        raw.handler = Some(on_answer);
        // SAFETY: the name and the query live as long as the context.
        if unsafe { sys::ngx_resolve_name(ctx.as_ptr()) } != rc::OK {
            // nginx has freed the context.
            question.ctx.set(None);
            return Err(ResolveError::NoMemory);
        }
        Ok(Resolving(question))
    }
}

struct Question {
    name: Box<str>,
    /// `None` once nginx has freed it.
    ctx: Cell<Option<NonNull<ngx_resolver_ctx_t>>>,
    waker: RefCell<Option<Waker>>,
    answer: RefCell<Option<Result<Vec<Address>, ResolveError>>>,
}

/// A query that waits for its answer. Dropping it cancels the query.
pub struct Resolving(Rc<Question>);

impl Future for Resolving {
    type Output = Result<Vec<Address>, ResolveError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                *self.0.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Resolving {
    fn drop(&mut self) {
        if let Some(ctx) = self.0.ctx.take() {
            // SAFETY: the handler has not run, so the context is still alive.
            unsafe { sys::ngx_resolve_name_done(ctx.as_ptr()) }
        }
    }
}

/// Handles the answer. nginx may call it from within `ngx_resolve_name`, for a name that it has
/// cached.
unsafe extern "C" fn on_answer(ctx: *mut ngx_resolver_ctx_t) {
    // SAFETY: nginx passes the context that `resolve` prepared.
    let raw = unsafe { &*ctx };
    // SAFETY: `resolve` stored the query there, which outlives the context.
    let question = unsafe { &*raw.data.cast::<Question>() };
    guard((), || {
        question.answer.replace(Some(answer(raw)));
        question.ctx.set(None);
    });
    // SAFETY: nginx has answered, and the context is not used any more.
    unsafe { sys::ngx_resolve_name_done(ctx) };
    guard((), || question.wake());
}

impl Question {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn answer(ctx: &ngx_resolver_ctx_t) -> Result<Vec<Address>, ResolveError> {
    match ctx.state {
        0 if ctx.naddrs == 0 => Err(ResolveError::Failed("Host not found".to_owned())),
        0 => {
            // SAFETY: nginx's addresses live until the context is done.
            let addresses = unsafe { std::slice::from_raw_parts(ctx.addrs, ctx.naddrs) };
            // SAFETY: as above.
            let read = |address: &ngx_resolver_addr_t| unsafe { Address::from_raw(address.sockaddr, address.socklen) };
            Ok(addresses.iter().filter_map(read).collect())
        }
        state => {
            // SAFETY: nginx has a text for each state.
            let text = unsafe { sys::ngx_resolver_strerror(state) };
            // SAFETY: the text is static.
            let reason = unsafe { CStr::from_ptr(text) };
            Err(ResolveError::Failed(reason.to_string_lossy().into_owned()))
        }
    }
}
