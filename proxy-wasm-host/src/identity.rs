//! The identity of a plugin, and the configurations of its contexts.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::node::Node;
use super::root_id::RootId;

/// The host whose answers a plugin gets where hosts differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Envoy, which most plugins are written for.
    #[default]
    Envoy,
    /// The C module of APISIX's runtimes, for plugins that Lua loads.
    CModule,
}

/// The identity of a plugin; the same in all its instances.
#[derive(Debug)]
pub struct Identity {
    /// The name that the plugin was declared with: `plugin_name`.
    pub name: String,
    /// The spec's root id: `plugin_root_id`.
    pub root_id: RootId,
    /// The host whose answers the plugin gets.
    pub dialect: Dialect,
    /// The spec's `vm_id`: the scope of shared data and queues.
    pub vm_id: String,
    /// The configuration that `proxy_on_vm_start` reads.
    pub vm_configuration: Vec<u8>,
    /// The node that the host says it is.
    pub node: Arc<Node>,
}

/// The configuration of a plugin context, and the plugin that it is for. The plugins of one VM may
/// have the same configuration.
#[derive(Debug, Default)]
pub struct Configuration {
    /// What `proxy_on_configure` reads.
    pub bytes: Arc<[u8]>,
    /// The plugin; `None` where there is no context.
    pub plugin: Option<Arc<Identity>>,
}

impl Configuration {
    /// Makes the configuration of a plugin.
    pub fn new(bytes: Arc<[u8]>, plugin: &Arc<Identity>) -> Arc<Self> {
        Arc::new(Self { bytes, plugin: Some(Arc::clone(plugin)) })
    }

    /// The plugin's name and its root id.
    pub fn names(&self) -> (&str, &str) {
        self.plugin.as_ref().map_or(("", ""), |plugin| (&plugin.name, plugin.root_id.as_str()))
    }
}

impl PartialEq for Configuration {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.names().0 == other.names().0
    }
}

impl Eq for Configuration {}

impl Hash for Configuration {
    fn hash<S: Hasher>(&self, state: &mut S) {
        (&self.bytes, self.names().0).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str) -> Arc<Identity> {
        Arc::new(Identity {
            name: name.to_owned(),
            root_id: RootId::given("root", b""),
            dialect: Dialect::Envoy,
            vm_id: "vm".to_owned(),
            vm_configuration: Vec::new(),
            node: Arc::default(),
        })
    }

    #[test]
    fn plugins_of_a_vm_have_configurations_of_their_own() {
        let (a, b) = (plugin("a"), plugin("b"));
        let of = |bytes: &[u8], plugin| Configuration::new(bytes.into(), plugin);
        assert_eq!(of(b"x", &a), of(b"x", &a));
        assert_ne!(of(b"x", &a), of(b"x", &b));
        assert_ne!(of(b"x", &a), of(b"y", &a));
        assert_eq!(of(b"x", &a).names(), ("a", "root"));
    }
}
