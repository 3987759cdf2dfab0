//! `xds.*`: what comes nearest in nginx's configuration. Envoy's older names for the same have no
//! `xds` in front. Metadata is empty, as in an Envoy whose configuration has none.

use std::borrow::Cow;

use ngx_bindings::Request;

use super::value::{Value, int, integer, text, variable};
use crate::worker::MainConf;

pub fn of_xds<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"cluster_name" => cluster_name(request).map(Cow::Borrowed),
        b"route_name" => Some(Cow::Borrowed(request.location_name())),
        b"virtual_host_name" => variable(request, b"server_name"),
        b"filter_chain_name" => text(""),
        b"listener_direction" => int(0),
        b"cluster_metadata" | b"listener_metadata" | b"route_metadata" | b"virtual_host_metadata" => text(""),
        _ => None,
    }
}

/// What `proxy_pass` names; before it has begun, the `upstream` block that the location names.
fn cluster_name(request: Request<'_>) -> Option<&[u8]> {
    MainConf::proxy_host(request).or_else(|| request.location_upstream()?.block_name())
}

/// Paths of one segment that are not variables of nginx.
pub fn of_one_segment<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"cluster_name" | b"cluster_metadata" | b"route_name" | b"route_metadata" => of_xds(request, name),
        b"listener_direction" | b"listener_metadata" => of_xds(request, name),
        b"metadata" => text(""),
        b"connection_id" => integer(request, b"connection"),
        b"x_request_id" => variable(request, b"request_id"),
        _ => None,
    }
}
