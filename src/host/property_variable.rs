//! `$wasm_property_NAME`: the properties that plugins set, as variables of nginx.

use ngx_bindings::sys::{ngx_http_variable_value_t, ngx_int_t, ngx_str_t};
use ngx_bindings::variables::answer;
use ngx_bindings::{Conf, Request, rc};

use crate::context::RequestContext;
use crate::guard::guard;

const PREFIX: &[u8] = b"wasm_property_";

/// Declares the variables, while nginx begins to read `http`. Returns `None` if that fails.
pub fn declare(cf: Conf) -> Option<()> {
    cf.add_prefix_variable(PREFIX, value)
}

/// Evaluates a variable. nginx calls this each time, since plugins may set the property later.
extern "C" fn value<'r>(
    request: Request<'r>,
    into: &'r mut ngx_http_variable_value_t,
    name: &'r ngx_str_t,
) -> ngx_int_t {
    guard(rc::ERROR, || {
        let found = name.as_bytes().get(PREFIX.len()..).and_then(|name| property(request, name));
        answer(request, into, found.as_deref())
    })
}

fn property(request: Request, name: &[u8]) -> Option<Vec<u8>> {
    let ctx = RequestContext::of_ended(request)?;
    // A line break would end the field or the line that the configuration puts the variable into.
    let value = ctx.rare.get()?.properties.by_variable(name)?;
    (!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0'))).then_some(value)
}
