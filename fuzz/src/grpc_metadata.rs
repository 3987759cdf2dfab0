//! Fuzzes the metadata of gRPC calls: what plugins send, and what servers answer.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proxy_wasm_host::host::GrpcCall;
use proxy_wasm_host::outgoing::{Service, Status, Upstreams, metadata};
use proxy_wasm_host::pairs::Pairs;

use crate::grpc_service::names;
use crate::input::Input;

/// Expects that a request has the path and the fields, and none about the connection; and that
/// metadata which is sent is read unchanged.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (upstream, service, method) = (input.bytes(), input.bytes(), input.bytes());
    answered(input.bytes());
    let Ok(pairs) = Pairs::parse(input.rest()) else { return };
    let Ok(server) = Service::parse(upstream, &names(&Upstreams::default())) else { return };
    let call = GrpcCall { upstream, service, method, metadata: pairs };
    let Ok(request) = metadata::request(&server, &call, (), Some(5)) else { return };

    let path = [b"/", service, b"/", method].concat();
    // A fragment is not sent.
    assert!(path.starts_with(request.uri().path().as_bytes()));
    let fields = request.headers();
    assert_eq!(
        (&fields["te"], &fields["content-type"]),
        (&"trailers".parse().unwrap(), &"application/grpc".parse().unwrap())
    );
    assert!(
        ["host", "connection", "content-length", "transfer-encoding"].iter().all(|name| !fields.contains_key(*name))
    );
    let received = metadata::received(fields);
    // A field of the plugin comes back as it was sent, even the bytes of a name in `-bin`.
    for (name, value) in pairs.iter().filter(|(name, _)| name.starts_with(b"x-")) {
        let name = name.to_ascii_lowercase();
        assert!(received.iter().any(|(known, read)| known == name && read == value), "{}", name.escape_ascii());
    }
}

/// Reads a server's outcome of a call.
fn answered(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let status = u16::from(input.byte()) + 100 * u16::from(input.byte() % 6);
    if let Ok(status) = StatusCode::from_u16(status) {
        assert_eq!(Status::of_http(status).is_none(), status == 200);
    }
    let mut fields = HeaderMap::new();
    while !input.is_empty() {
        let name = [&b"grpc-status"[..], b"grpc-message", b"x-bin"][usize::from(input.byte() % 3)];
        let Ok(value) = HeaderValue::from_bytes(input.bytes()) else { continue };
        fields.append(HeaderName::from_bytes(name).expect("a name"), value);
    }
    if let Some(status) = Status::of_fields(&fields) {
        let said = fields.get("grpc-message").map_or(0, HeaderValue::len);
        assert!(status.message.len() <= said);
    }
    assert_eq!(metadata::received(&fields).iter().count(), fields.len());
}
