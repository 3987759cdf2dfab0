//! Metadata: the fields of a request, and of a response and its trailers. Values of names in `-bin` are bytes to plugins, and
//! base64 on the wire.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};
use proxy_wasm_host::host::GrpcCall;
use proxy_wasm_host::pairs::PairsBuf;

use super::{BadGrpcCall, Outbox, Service};

/// Sent without padding, taken with or without: the protocol's "binary headers".
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The most that `grpc-timeout` can say, which has eight digits.
const LONGEST_TIMEOUT: u32 = 99_999_999;

/// The request of a call.
pub fn request(
    service: &Service,
    call: &GrpcCall<'_>,
    outbox: Outbox,
    timeout: Option<u32>,
) -> Result<Request<Outbox>, BadGrpcCall> {
    let bad = |name: &[u8]| BadGrpcCall::Metadata(name.to_vec());
    let path = [b"/", call.service, b"/", call.method].concat();
    let authority = call.metadata.get(b":authority").unwrap_or(service.authority.as_bytes());
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if service.tls_name.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::try_from(authority).map_err(|_| bad(b":authority"))?);
    uri.path_and_query = Some(PathAndQuery::try_from(&path[..]).map_err(|_| BadGrpcCall::Method)?);

    let mut request = Request::new(outbox);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| BadGrpcCall::Method)?;
    let fields = request.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    if let Some(timeout) = timeout {
        let value = format!("{}m", timeout.min(LONGEST_TIMEOUT));
        fields.insert("grpc-timeout", HeaderValue::try_from(value).map_err(|_| bad(b"grpc-timeout"))?);
    }
    for (name, value) in call.metadata.iter().filter(|(name, _)| !is_reserved(name)) {
        let key = HeaderName::from_bytes(name).map_err(|_| bad(name))?;
        let value = match key.as_str().ends_with("-bin") {
            true => HeaderValue::try_from(BASE64.encode(value)),
            false => HeaderValue::from_bytes(value),
        };
        let value = value.map_err(|_| bad(name))?;
        fields.try_append(key, value).map_err(|_| bad(name))?;
    }
    Ok(request)
}

/// What the protocol itself sets.
fn is_reserved(name: &[u8]) -> bool {
    let own: [&[u8]; 6] = [b"content-type", b"te", b"host", b"content-length", b"connection", b"transfer-encoding"];
    name.starts_with(b":")
        || name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"grpc-"))
        || own.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// What a plugin reads of a header or of trailers.
pub fn received(fields: &HeaderMap) -> PairsBuf {
    let mut metadata = PairsBuf::default();
    for (name, value) in fields {
        let name = name.as_str().as_bytes();
        match name.ends_with(b"-bin").then(|| BASE64.decode(value.as_bytes())) {
            Some(Ok(bytes)) => metadata.push(name, &bytes),
            // Not what the protocol wants, but what the server sent.
            _ => metadata.push(name, value.as_bytes()),
        }
    }
    metadata
}
