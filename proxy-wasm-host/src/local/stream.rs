//! A request of the local host.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::Bytes;
use crate::abi::{BufferType, MapType, Status, StreamType};
use crate::host::{Buffers, HeaderMaps, LocalResponse, Properties, Response, Result, Stream, StreamControl, Upstreams};
use crate::pairs::{Pairs, PairsBuf};
use crate::property::PropertyPath;

/// A request.
#[derive(Clone, Debug, Default)]
pub struct LocalStream(Arc<Mutex<LocalRequest>>);

/// The state that clones of a [`LocalStream`] share.
#[derive(Debug, Default)]
pub struct LocalRequest {
    /// The maps that plugins can reach now.
    pub maps: BTreeMap<MapType, Vec<(Bytes, Bytes)>>,
    /// The buffers that plugins can reach now.
    pub buffers: BTreeMap<BufferType, Bytes>,
    /// Properties by path.
    pub properties: BTreeMap<Bytes, Bytes>,
    /// The response that the plugin sent.
    pub local_response: Option<SentResponse>,
    /// The halves that were resumed, in order.
    pub continued: Vec<StreamType>,
    /// The halves that were closed, in order.
    pub closed: Vec<StreamType>,
    /// What was injected into the response's body, each with whether it ends there.
    pub injected: Vec<(Bytes, bool)>,
    /// The servers that the request may go to, with their descriptions.
    pub upstream_hosts: Vec<(Bytes, Bytes)>,
    /// The server that a plugin chose.
    pub override_host: Option<Bytes>,
}

/// A local response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentResponse {
    /// HTTP status code.
    pub status: u32,
    /// The reason.
    pub details: Bytes,
    /// The body.
    pub body: Bytes,
    /// Additional header fields.
    pub headers: Vec<(Bytes, Bytes)>,
    /// gRPC status, or -1.
    pub grpc_status: i32,
}

impl LocalStream {
    /// A request with these header fields.
    pub fn with_headers(headers: &[(&str, &str)]) -> Self {
        let stream = Self::default();
        let fields = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        stream.request().maps.insert(MapType::HttpRequestHeaders, fields.collect());
        stream
    }

    /// The number of clones, including those that plugins can reach.
    pub fn owners(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// The request's state, to read and to change.
    pub fn request(&self) -> MutexGuard<'_, LocalRequest> {
        self.0.lock()
    }
}

impl LocalRequest {
    fn map(&mut self, map: MapType) -> Result<&mut Vec<(Bytes, Bytes)>> {
        self.maps.get_mut(&map).ok_or(Status::NotFound)
    }
}

impl Stream for LocalStream {}

impl HeaderMaps for LocalStream {
    fn for_each_header(&self, map: MapType, field: &mut dyn FnMut(&[u8], &[u8])) -> Result {
        self.request().map(map)?.iter().for_each(|(name, value)| field(name, value));
        Ok(())
    }

    fn header(&self, map: MapType, name: &[u8]) -> Result<Option<Cow<'_, [u8]>>> {
        let mut request = self.request();
        let field = request.map(map)?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        Ok(field.map(|(_, value)| Cow::Owned(value.clone())))
    }

    fn add_header(&mut self, map: MapType, name: &[u8], value: &[u8]) -> Result {
        self.request().map(map)?.push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    fn replace_header(&mut self, map: MapType, name: &[u8], value: &[u8]) -> Result {
        self.remove_header(map, name)?;
        self.add_header(map, name, value)
    }

    fn remove_header(&mut self, map: MapType, name: &[u8]) -> Result {
        self.request().map(map)?.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        Ok(())
    }

    fn set_headers(&mut self, map: MapType, pairs: Pairs<'_>) -> Result {
        *self.request().map(map)? = owned(pairs);
        Ok(())
    }
}

impl Buffers for LocalStream {
    fn buffer_size(&self, buffer: BufferType) -> Result<usize> {
        self.request().buffers.get(&buffer).map(Vec::len).ok_or(Status::NotFound)
    }

    fn read_buffer(&self, buffer: BufferType, start: usize, into: &mut [u8]) -> Result {
        let request = self.request();
        let bytes = request.buffers.get(&buffer).ok_or(Status::NotFound)?;
        into.copy_from_slice(bytes.get(start..start + into.len()).ok_or(Status::BadArgument)?);
        Ok(())
    }

    fn replace_buffer(&mut self, buffer: BufferType, start: usize, size: usize, value: &[u8]) -> Result {
        let mut request = self.request();
        let bytes = request.buffers.get_mut(&buffer).ok_or(Status::NotFound)?;
        if start + size > bytes.len() {
            return Err(Status::BadArgument);
        }
        bytes.splice(start..start + size, value.iter().copied());
        Ok(())
    }
}

impl Properties for LocalStream {
    fn property(&mut self, path: PropertyPath<'_>) -> Result<Option<Cow<'_, [u8]>>> {
        Ok(self.request().properties.get(path.as_bytes()).cloned().map(Cow::Owned))
    }

    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result {
        self.request().properties.insert(path.as_bytes().to_vec(), value.to_vec());
        Ok(())
    }
}

impl LocalResponse for LocalStream {
    fn send_local_response(&mut self, response: Response<'_>) -> Result {
        self.request().local_response = Some(SentResponse {
            status: response.status,
            details: response.details.to_vec(),
            body: response.body.to_vec(),
            headers: owned(response.headers),
            grpc_status: response.grpc_status,
        });
        Ok(())
    }
}

impl StreamControl for LocalStream {
    fn continue_stream(&mut self, stream: StreamType) -> Result {
        self.request().continued.push(stream);
        Ok(())
    }

    fn close_stream(&mut self, stream: StreamType) -> Result {
        self.request().closed.push(stream);
        Ok(())
    }

    fn inject_response_body(&mut self, bytes: &[u8], end: bool) -> Result {
        self.request().injected.push((bytes.to_vec(), end));
        Ok(())
    }
}

impl Upstreams for LocalStream {
    fn upstream_hosts(&self) -> Result<PairsBuf> {
        let request = self.request();
        let hosts = Some(&request.upstream_hosts).filter(|hosts| !hosts.is_empty());
        Ok(hosts.ok_or(Status::NotFound)?.iter().map(|(address, description)| (address, description)).collect())
    }

    fn override_upstream_host(&mut self, address: &[u8]) -> Result {
        self.request().override_host = Some(address.to_vec());
        Ok(())
    }
}

fn owned(pairs: Pairs<'_>) -> Vec<(Bytes, Bytes)> {
    pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}
