//! gRPC metadata: the fields of a request, and those of a response and its trailers. Values of
//! names that end in `-bin` are bytes for plugins, and base64 on the wire.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};

use super::Service;
use crate::host::GrpcCall;
use crate::pairs::PairsBuf;

/// Sends base64 without padding, and accepts it with or without: "binary headers" of the protocol.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The largest value of `grpc-timeout`, which has eight digits.
const LONGEST_TIMEOUT: u32 = 99_999_999;

/// The part of a call that HTTP cannot carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// `/SERVICE/METHOD`.
    Method,
    /// The field of that name, or its value.
    Metadata(Vec<u8>),
}

/// Makes the request of a call, with a body from the embedder. The timeout is in milliseconds.
///
/// # Errors
/// When HTTP cannot carry the method or the metadata.
pub fn request<B>(
    service: &Service,
    call: &GrpcCall<'_>,
    body: B,
    timeout: Option<u32>,
) -> Result<Request<B>, BadRequest> {
    let bad = |name: &[u8]| BadRequest::Metadata(name.to_vec());
    let path = [b"/", call.service, b"/", call.method].concat();
    let of_plugin = call.metadata.get(b":authority").filter(|_| !service.authority_is_set);
    let authority = of_plugin.unwrap_or(service.authority.as_bytes());
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if service.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::try_from(authority).map_err(|_| bad(b":authority"))?);
    uri.path_and_query = Some(PathAndQuery::try_from(&path[..]).map_err(|_| BadRequest::Method)?);

    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| BadRequest::Method)?;
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

/// Returns whether the protocol itself sets this field.
fn is_reserved(name: &[u8]) -> bool {
    let own: [&[u8]; 6] = [b"content-type", b"te", b"host", b"content-length", b"connection", b"transfer-encoding"];
    name.starts_with(b":")
        || name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"grpc-"))
        || own.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Reads a header or trailers as a plugin sees them.
pub fn received(fields: &HeaderMap) -> PairsBuf {
    let mut metadata = PairsBuf::default();
    for (name, value) in fields {
        let name = name.as_str().as_bytes();
        match name.ends_with(b"-bin").then(|| BASE64.decode(value.as_bytes())) {
            Some(Ok(bytes)) => metadata.push(name, &bytes),
            // The protocol wants base64 here, but this is what the server sent.
            _ => metadata.push(name, value.as_bytes()),
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::{Names, Upstreams};
    use crate::pairs::{Encoder, Measure, Pairs};

    fn serialized(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut measure = Measure::default();
        fields.iter().for_each(|(name, value)| measure.add(name, value));
        let mut bytes = vec![0; measure.size()];
        let mut encoder = Encoder::new(&mut bytes, measure).unwrap();
        fields.iter().for_each(|(name, value)| encoder.push(name, value));
        bytes
    }

    fn request_of(fields: &[(&[u8], &[u8])], timeout: Option<u32>) -> Result<Request<()>, BadRequest> {
        let names = Names { upstreams: &Upstreams::default(), is_block: |_| false, bare_hosts: false };
        let service = Service::parse(b"a.example:1", &names).unwrap();
        let bytes = serialized(fields);
        let metadata = Pairs::parse(&bytes).unwrap();
        let call = GrpcCall { upstream: b"", service: b"pkg.Service", method: b"Method", metadata };
        request(&service, &call, (), timeout)
    }

    #[test]
    fn a_request_says_what_the_protocol_wants() {
        let request = request_of(&[(b"x-a", b"1"), (b"x-a", b"2"), (b"X-Bin", b"\0\xff")], Some(u32::MAX)).unwrap();
        assert_eq!(request.uri(), "http://a.example:1/pkg.Service/Method");
        let fields = request.headers();
        assert_eq!(fields["content-type"], "application/grpc");
        assert_eq!(fields["grpc-timeout"], "99999999m");
        assert_eq!(fields.get_all("x-a").iter().count(), 2);
        assert_eq!(fields["x-bin"], "AP8");
    }

    #[test]
    fn what_is_the_protocols_own_is_not_the_plugins() {
        let own: [&[u8]; 5] = [b"TE", b"Content-Type", b"grpc-timeout", b"GRPC-Status", b":path"];
        let request = request_of(&own.map(|name| (name, &b"x"[..])), None).unwrap();
        assert_eq!(request.headers().len(), 2);
        assert_eq!(request_of(&[(b":authority", b"b.example")], None).unwrap().uri().host(), Some("b.example"));
    }

    #[test]
    fn what_http_cannot_carry_is_told() {
        for (name, value) in [(&b"a b"[..], &b"1"[..]), (b"a", b"1\r\nb: 2"), (b"", b"1"), (b":authority", b"a b")] {
            assert_eq!(request_of(&[(name, value)], None).unwrap_err(), BadRequest::Metadata(name.to_vec()));
        }
    }

    #[test]
    fn binary_values_are_read_as_bytes() {
        let mut fields = HeaderMap::new();
        for (name, value) in [("a-bin", "AP8"), ("a-bin", "AP8="), ("a-bin", "!"), ("b", "AP8")] {
            fields.append(name, value.parse().unwrap());
        }
        let read: Vec<_> = received(&fields).iter().map(|(_, value)| value.to_vec()).collect();
        assert_eq!(read, [b"\0\xff".to_vec(), b"\0\xff".to_vec(), b"!".to_vec(), b"AP8".to_vec()]);
    }
}
