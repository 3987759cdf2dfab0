//! The directives of `http`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm_host::config::{Directory, Isolation, Options, Overrides, PluginDeclaration, UpstreamDeclaration};
use proxy_wasm_host::node::Node;
use proxy_wasm_host::outgoing::Upstreams;
use proxy_wasm_host::wasm::CompileLimits;

use super::{Policy, ZoneSettings};
use crate::host_memory::HostMemory;
use crate::limits;

/// The directives of `http` as they were written; `None` for one that was not.
#[derive(Default)]
pub struct HttpConf {
    /// Whether `wasm_vm` is set, or any directive that implies it.
    pub enabled: bool,
    /// Whether `wasm_vm` itself is set, as APISIX writes it.
    pub wasm_vm: bool,
    /// `wasm_cache`.
    pub cache: CacheSetting,
    /// `wasm_compile_timeout`.
    pub compile_timeout: Option<Duration>,
    /// The limits and policies that are set in `http` for all plugins.
    pub compile_memory: Option<usize>,
    /// Limits and policy set in `http`.
    pub overrides: Overrides,
    /// Every `wasm_plugin` line, and every plugin of a `wasm_config` file.
    pub declared: Vec<Declared>,
    /// Every `proxy_wasm` and `wasm_start` line. Each one is a PluginContext.
    pub attachments: Vec<Attachment>,
    /// Every directory of a `wasm_dir` line.
    pub directories: Vec<NamedDirectory>,
    /// How certificates of the servers that plugins call are checked.
    pub tls: TlsSettings,
    /// Every `wasm_upstream` line, and its place.
    pub upstreams: Vec<(UpstreamDeclaration, String)>,
    /// `wasm_call_response_limit`.
    pub response_limit: Option<usize>,
    /// `wasm_call_connections`.
    pub call_connections: Option<usize>,
    /// `wasm_worker_memory`.
    pub worker_memory: Option<usize>,
    /// `wasm_instances`.
    pub instances: Option<usize>,
    /// The sizes of the shared zones.
    pub zones: ZoneSettings,
    /// `wasm_node`.
    pub node: Node,
}

/// `wasm_ssl_trusted_certificate`, `wasm_ssl_verify`, `wasm_ssl_verify_depth`.
#[derive(Default)]
pub struct TlsSettings {
    pub trusted_certificate: Option<Vec<u8>>,
    pub verify: Option<bool>,
    pub verify_depth: Option<u32>,
}

/// `wasm_cache PATH|off`.
#[derive(Default)]
pub enum CacheSetting {
    /// The directive is absent: the cache is `wasm_cache` under nginx's prefix.
    #[default]
    Default,
    /// No cache.
    Off,
    /// The cache is this folder.
    Path(PathBuf),
}

/// A declared plugin, and the place of its declaration.
pub struct Declared {
    pub plugin: PluginDeclaration,
    pub path: PathBuf,
    /// The configuration that `proxy_on_vm_start` reads.
    pub vm_configuration: Vec<u8>,
    /// The name of the directive, for error messages.
    pub directive: &'static str,
    pub place: String,
}

/// One `proxy_wasm` or `wasm_start` line.
pub struct Attachment {
    /// The name of the directive, for error messages.
    pub directive: &'static str,
    pub name: String,
    pub configuration: Arc<[u8]>,
    pub in_location: bool,
    /// Whether the plugin gets subrequests, too.
    pub subrequests: bool,
    pub place: String,
}

/// A directory of a `wasm_dir` line.
pub struct NamedDirectory {
    /// The name of the plugin that gets it.
    pub plugin: String,
    pub directory: Directory,
    pub place: String,
}

/// An error that stops nginx's start: the message, and the place of its cause.
#[derive(Debug)]
pub struct Fault {
    pub message: String,
    pub place: String,
}

impl HttpConf {
    /// Whether the configuration serves only plugins that Lua loads: `wasm_vm` alone, as APISIX
    /// writes it.
    pub fn is_for_lua(&self) -> bool {
        self.wasm_vm && self.declared.is_empty() && self.attachments.is_empty()
    }

    /// The options of plugins that set none of their own.
    pub fn options(&self) -> Options {
        self.overrides.over(&Options::default())
    }

    /// Returns the policy that these options give for a plugin's requests.
    pub fn policy(&self, plugin: &str, options: &Options) -> Policy {
        let worker_limit = self.worker_memory.unwrap_or(limits::worker::MEMORY);
        let instances = self.instances.unwrap_or(limits::worker::INSTANCES);
        Policy {
            failure: options.failure,
            body_buffer_size: options.body_buffer_size,
            pause: options.pause,
            resume: options.resume,
            memory: HostMemory::of(plugin, options.host_memory, worker_limit),
            own_instances: (options.isolation == Isolation::Request).then_some(instances),
        }
    }

    /// Adds a `wasm_upstream` line.
    ///
    /// # Errors
    ///
    /// If the name was declared before.
    pub fn declare_upstream(&mut self, upstream: UpstreamDeclaration, place: String) -> Result<(), String> {
        if let Some((_, first)) = self.upstreams.iter().find(|(known, _)| known.name == upstream.name) {
            return Err(format!("\"{}\" is declared already{first}", upstream.name.escape_ascii()));
        }
        self.upstreams.push((upstream, place));
        Ok(())
    }

    /// Returns what the operator says of the names that plugins call. `is_block` says whether there
    /// is an `upstream` block of a name.
    ///
    /// # Errors
    ///
    /// If a line names a server that there is not.
    pub fn upstreams(&self, is_block: impl Fn(&str) -> bool) -> Result<Upstreams, Fault> {
        let mut upstreams = Upstreams::new(self.tls.verify.unwrap_or(true));
        for (upstream, place) in &self.upstreams {
            let fault = |reason| Fault { message: format!("\"wasm_upstream\": {reason}"), place: place.clone() };
            upstreams.add(upstream, &is_block).map_err(fault)?;
        }
        Ok(upstreams)
    }

    /// The limits for compiling one plugin.
    pub fn compile_limits(&self) -> CompileLimits {
        let usual = CompileLimits::default();
        CompileLimits {
            time: self.compile_timeout.unwrap_or(usual.time),
            memory: self.compile_memory.unwrap_or(usual.memory),
        }
    }

    /// Returns, for each attachment, the index of the plugin's declaration.
    ///
    /// # Errors
    ///
    /// If a name is declared twice, or is attached but not declared.
    pub fn find_plugins(&self) -> Result<Vec<usize>, Fault> {
        for (index, declared) in self.declared.iter().enumerate() {
            let name = &declared.plugin.name;
            if let Some(first) = self.declared[..index].iter().find(|other| other.plugin.name == *name) {
                return Err(declared.fault(&format!("\"{name}\" is declared already{}", first.place)));
            }
        }
        self.attachments.iter().map(|attachment| self.find_plugin(attachment)).collect()
    }

    fn find_plugin(&self, attachment: &Attachment) -> Result<usize, Fault> {
        let name = &attachment.name;
        let index = self.declared.iter().position(|declared| declared.plugin.name == *name);
        index.ok_or_else(|| Fault {
            message: format!(
                "\"{}\": there is no plugin \"{name}\"; declare it with wasm_plugin or wasm_config",
                attachment.directive
            ),
            place: attachment.place.clone(),
        })
    }
}

impl Attachment {
    /// Whether the line has no location: its plugin context gets no requests.
    pub fn is_service(&self) -> bool {
        self.directive == "wasm_start"
    }
}

impl Declared {
    /// The id of the plugin's VM, and the VM's configuration.
    pub fn vm(&self) -> (&str, &[u8]) {
        (self.plugin.vm.as_deref().unwrap_or(&self.plugin.name), &self.vm_configuration)
    }

    /// Makes the error for this declaration or its plugin.
    pub fn fault(&self, reason: &str) -> Fault {
        Fault { message: format!("\"{}\": {reason}", self.directive), place: self.place.clone() }
    }
}

/// The system's error text alone, without the `(os error 2)` that Rust appends.
pub fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(name: &str, line: usize) -> Declared {
        let plugin = PluginDeclaration::parse(&[name.as_bytes(), b"x.wasm"]).unwrap();
        Declared {
            plugin,
            path: PathBuf::new(),
            vm_configuration: Vec::new(),
            directive: "wasm_plugin",
            place: format!(" in c:{line}"),
        }
    }

    fn attachment(name: &str) -> Attachment {
        let place = " in c:9".to_owned();
        Attachment {
            directive: "proxy_wasm",
            name: name.to_owned(),
            configuration: Arc::default(),
            in_location: true,
            subrequests: false,
            place,
        }
    }

    #[test]
    fn each_attachment_finds_its_declaration() {
        let mut conf = HttpConf { declared: vec![declared("a", 1), declared("b", 2)], ..HttpConf::default() };
        conf.attachments = ["b", "a", "b"].map(attachment).into();
        assert_eq!(conf.find_plugins().unwrap(), [1, 0, 1]);
        conf.attachments.push(attachment("c"));
        let fault = conf.find_plugins().unwrap_err();
        assert!(fault.message.contains("there is no plugin \"c\""), "{}", fault.message);
        assert_eq!(fault.place, " in c:9");
    }

    #[test]
    fn a_name_is_declared_once() {
        let conf = HttpConf { declared: vec![declared("a", 1), declared("a", 2)], ..HttpConf::default() };
        let fault = conf.find_plugins().unwrap_err();
        assert_eq!(fault.message, "\"wasm_plugin\": \"a\" is declared already in c:1");
        assert_eq!(fault.place, " in c:2");
    }
}
