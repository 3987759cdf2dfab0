//! Describes a plugin without running it.

use std::sync::Arc;

use proxy_wasm_host::config::units::Size;
use proxy_wasm_host::config::{Directory, Options};
use proxy_wasm_host::error::Error;
use proxy_wasm_host::local::{self, LocalHost};
use proxy_wasm_host::versions;
use proxy_wasm_host::wasm::{Compiler, Module};
use proxy_wasm_host::{Dialect, Identity, Plugin, PluginOptions, RootId};
use wasmtime::{ExternType, FuncType};

use crate::arguments::Arguments;
use crate::output::say;
use crate::producers;

/// Prints what the plugin is and needs. Returns the plugin if nginx would accept it.
pub fn check(arguments: &Arguments, bytes: &[u8]) -> Result<Arc<Plugin<LocalHost>>, Error> {
    let name = &*arguments.name;
    let module = Module::load_or_compile(local::engine(), &Compiler::Child(arguments.limits), None, bytes, || ())?;
    line("plugin", format_args!("{name}, {}, BLAKE3 {}", Size(bytes.len()), module.hash()));
    let to_find = || RootId::to_find(name, bytes);
    let root_id = arguments.root_id.as_deref().map_or_else(to_find, |id| RootId::given(id, bytes));
    let plugin = plugin(name, root_id, &module, arguments.directories.clone());
    if let Ok(plugin) = &plugin {
        line("ABI version", plugin.abi_version().as_str());
    }
    made_by(bytes, module.wasmtime());
    memory(module.wasmtime());
    exports(module.wasmtime());
    let is_supported = imports(module.wasmtime());
    needs(module.wasmtime(), is_supported);
    plugin
}

/// Makes the plugin as nginx makes it without further directives but `dir`.
fn plugin(
    name: &str,
    root_id: RootId,
    module: &Module,
    directories: Vec<Directory>,
) -> Result<Arc<Plugin<LocalHost>>, Error> {
    let options = Options::default();
    let options = PluginOptions {
        memory_limit: options.memory_limit,
        callback_timeout: options.callback_timeout,
        start_timeout: options.start_timeout,
        env: options.env,
        capabilities: options.capabilities,
        image: options.image,
        isolation: options.isolation,
        directories: directories.into(),
    };
    let identity = Identity {
        name: name.to_owned(),
        root_id,
        dialect: Dialect::Envoy,
        vm_id: name.to_owned(),
        vm_configuration: Vec::new(),
        node: Default::default(),
    };
    Plugin::new(local::engine(), module, identity, options)
}

fn made_by(bytes: &[u8], module: &wasmtime::Module) {
    let producers = producers::producers(bytes);
    line("SDK", producers::sdk(&producers, module).unwrap_or("not known"));
    for (field, values) in &producers {
        line(field, values.join(", "));
    }
}

fn memory(module: &wasmtime::Module) {
    if let Some(ExternType::Memory(memory)) = module.get_export("memory") {
        let bytes = |pages: u64| Size(usize::try_from(pages.saturating_mul(memory.page_size())).unwrap_or(usize::MAX));
        match memory.maximum() {
            Some(most) => line("memory", format_args!("{} at start, at most {}", bytes(memory.minimum()), bytes(most))),
            None => line("memory", format_args!("{} at start", bytes(memory.minimum()))),
        }
    }
}

fn exports(module: &wasmtime::Module) {
    let names = module.exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
    let (callbacks, others): (Vec<_>, Vec<_>) = names
        .map(|export| export.name().to_owned())
        .partition(|name| name.starts_with("proxy_on_") && name != "proxy_on_memory_allocate");
    list("callbacks", &callbacks);
    list("other exports", &others);
}

/// Prints the imports. Returns whether this host has all of them.
fn imports(module: &wasmtime::Module) -> bool {
    let mut supported = Vec::new();
    let mut faults = Vec::new();
    for import in module.imports() {
        let name = format!("{}.{}", import.module(), import.name());
        let fault = match import.ty() {
            ExternType::Func(ty) => fault(import.module(), import.name(), &ty, module),
            _ => Some(format!("imports {name}, which is no function")),
        };
        match fault {
            None if !supported.contains(&name) => supported.push(name),
            None => {}
            Some(fault) => faults.push(fault),
        }
    }
    list("imports", &supported);
    list("unsupported", &faults);
    faults.is_empty()
}

/// Prints which versions of nginx's module have all that the plugin imports, and call all its
/// callbacks. Those that will come may have what this one lacks.
fn needs(module: &wasmtime::Module, is_supported: bool) {
    if !is_supported {
        return line(
            "needs",
            format_args!("none of the versions up to {} has all its imports", env!("CARGO_PKG_VERSION")),
        );
    }
    let names = module.imports().map(|import| import.name()).chain(module.exports().map(|export| export.name()));
    line("needs", format_args!("version {} of the module, or newer", versions::needed(names)));
}

/// Returns the host's error about this import alone: the host is asked with a module that has no
/// other import.
fn fault(from: &str, name: &str, ty: &FuncType, module: &wasmtime::Module) -> Option<String> {
    let types = |kind: &str, types: &mut dyn Iterator<Item = wasmtime::ValType>| {
        types.map(|ty| format!(" ({kind} {ty})")).collect::<String>()
    };
    let marker = module.exports().map(|export| export.name()).find(|name| name.starts_with("proxy_abi_version_"));
    let wat = format!(
        "(module (import {} {} (func{}{})) (memory (export \"memory\") 1) (func (export {})))",
        quoted(from),
        quoted(name),
        types("param", &mut ty.params()),
        types("result", &mut ty.results()),
        quoted(marker.unwrap_or("proxy_abi_version_0_2_1")),
    );
    let root_id = RootId::to_find("probe", &[]);
    let probe = Module::load(local::engine(), None, wat.as_bytes())
        .and_then(|module| plugin("probe", root_id, &module, Vec::new()));
    probe.err().map(|error| error.to_string())
}

/// Writes a text as a string of the WebAssembly text format.
fn quoted(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("\"{bytes}\"")
}

fn list(head: &str, names: &[String]) {
    if let [first, rest @ ..] = names {
        line(head, first);
        rest.iter().for_each(|name| line("", name));
    }
}

/// Prints a line of the table.
pub fn line(head: &str, text: impl std::fmt::Display) {
    say!("{head:<15}{text}");
}
