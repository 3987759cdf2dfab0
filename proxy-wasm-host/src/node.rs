//! The node that the host says it is: the properties `node` and `xds.node`, which Envoy's bootstrap
//! sets and nginx's operators set by a directive.
//!
//! Follows [`config.core.v3.Node`]. Plugins read the fields by their names, or the whole message.
//!
//! [`config.core.v3.Node`]:
//! https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/base.proto

use std::borrow::Cow;
use std::collections::BTreeMap;

use prost::Message;

use crate::pairs::PairsBuf;
use crate::property::PropertyPath;

/// A node.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// `node.id`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// `node.cluster`.
    #[prost(string, tag = "2")]
    pub cluster: String,
    /// `node.metadata`.
    #[prost(message, required, tag = "3")]
    pub metadata: Struct,
    /// `node.locality`.
    #[prost(message, required, tag = "4")]
    pub locality: Locality,
    /// `node.user_agent_name`.
    #[prost(string, tag = "6")]
    pub user_agent_name: String,
}

/// Where a node is.
#[derive(Clone, PartialEq, Message)]
pub struct Locality {
    /// `node.locality.region`.
    #[prost(string, tag = "1")]
    pub region: String,
    /// `node.locality.zone`.
    #[prost(string, tag = "2")]
    pub zone: String,
    /// `node.locality.sub_zone`.
    #[prost(string, tag = "3")]
    pub sub_zone: String,
}

/// `google.protobuf.Struct`, whose values are texts here.
#[derive(Clone, PartialEq, Message)]
pub struct Struct {
    /// The values by their names.
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// `google.protobuf.Value` that is a text.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// The text.
    #[prost(string, optional, tag = "3")]
    pub string_value: Option<String>,
}

impl Node {
    /// Sets what a directive names: `id`, `cluster`, `region`, `zone`, `sub_zone` or
    /// `metadata.NAME`. Returns whether there is such a field.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        let field = match name {
            "id" => &mut self.id,
            "cluster" => &mut self.cluster,
            "region" => &mut self.locality.region,
            "zone" => &mut self.locality.zone,
            "sub_zone" => &mut self.locality.sub_zone,
            _ => {
                let Some(name) = name.strip_prefix("metadata.").filter(|name| !name.is_empty()) else { return false };
                let field = self.metadata.fields.entry(name.to_owned()).or_default();
                field.string_value.get_or_insert_default()
            }
        };
        *field = value.to_owned();
        true
    }

    /// A property, by its whole path.
    pub fn property(&self, path: PropertyPath<'_>) -> Option<Cow<'_, [u8]>> {
        let path = path.as_bytes();
        let path = path.strip_prefix(b"xds\0").unwrap_or(path).strip_prefix(b"node")?;
        let text = |text: &'_ String| Some(Cow::Owned(text.clone().into_bytes()));
        let fields = &self.metadata.fields;
        match path {
            b"" => Some(Cow::Owned(self.encode_to_vec())),
            b"\0id" => text(&self.id),
            b"\0cluster" => text(&self.cluster),
            b"\0user_agent_name" => text(&self.user_agent_name),
            b"\0locality" => Some(Cow::Owned(self.locality.encode_to_vec())),
            b"\0locality\0region" => text(&self.locality.region),
            b"\0locality\0zone" => text(&self.locality.zone),
            b"\0locality\0sub_zone" => text(&self.locality.sub_zone),
            b"\0metadata" => {
                let pairs = fields.iter().map(|(name, value)| (name, value.string_value()));
                Some(Cow::Owned(pairs.collect::<PairsBuf>().to_bytes()))
            }
            _ => {
                let name = str::from_utf8(path.strip_prefix(b"\0metadata\0")?).ok()?;
                fields.get(name).map(|value| Cow::Borrowed(value.string_value().as_bytes()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let mut node = Node::default();
        for (name, value) in [("id", "edge-1"), ("zone", "a"), ("metadata.LABEL", "x"), ("metadata.LABEL", "y")] {
            assert!(node.set(name, value));
        }
        node
    }

    #[test]
    fn fields_are_read_by_their_names() {
        let node = node();
        let get = |path: &[u8]| node.property(PropertyPath::new(path)).map(Cow::into_owned);
        assert_eq!(get(b"node\0id"), Some(b"edge-1".to_vec()));
        assert_eq!(get(b"xds\0node\0id"), Some(b"edge-1".to_vec()));
        assert_eq!(get(b"node\0cluster"), Some(Vec::new()));
        assert_eq!(get(b"node\0locality\0zone"), Some(b"a".to_vec()));
        assert_eq!(get(b"node\0metadata\0LABEL"), Some(b"y".to_vec()));
        assert_eq!(get(b"node\0metadata"), Some(b"\x01\0\0\0\x05\0\0\0\x01\0\0\0LABEL\0y\0".to_vec()));
        for path in [&b"node\0none"[..], b"node\0metadata\0none", b"nodes", b"xds\0nod", b"node\0\0"] {
            assert_eq!(get(path), None, "{path:?}");
        }
    }

    #[test]
    fn the_whole_is_a_message() {
        let whole = node().property(PropertyPath::new(b"node")).unwrap().into_owned();
        assert_eq!(whole, b"\x0a\x06edge-1\x1a\x0e\x0a\x0c\x0a\x05LABEL\x12\x03\x1a\x01y\x22\x03\x12\x01a");
        assert_eq!(Node::decode(&whole[..]).unwrap(), node());
    }

    #[test]
    fn other_names_are_refused() {
        assert!(!Node::default().set("metadata.", "x"));
        assert!(!Node::default().set("name", "x"));
    }
}
