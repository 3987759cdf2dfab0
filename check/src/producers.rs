//! Finds the compiler and the SDK of a module: in the custom section "producers", and by a few
//! imports and exports.

use std::collections::BTreeMap;

use wasmparser::{KnownCustom, Parser, Payload};

/// Returns the languages and tools, by the fields of the section: `language`, `processed-by`,
/// `sdk`.
pub fn producers(bytes: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<String, Vec<String>>::new();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(section) = section.as_known() else { continue };
        for field in section.into_iter().map_while(Result::ok) {
            let values = field.values.into_iter().map_while(Result::ok);
            let text = |value: wasmparser::ProducersFieldValue<'_>| format!("{} {}", value.name, value.version);
            let values = values.map(|value| text(value).trim_end().to_owned());
            fields.entry(field.name.to_owned()).or_default().extend(values);
        }
    }
    fields
}

/// Returns the SDK, as far as the module's languages, tools and exports show it.
pub fn sdk(producers: &BTreeMap<String, Vec<String>>, module: &wasmtime::Module) -> Option<&'static str> {
    let made_by = |name: &str| producers.values().flatten().any(|value| value.contains(name));
    let exports = |name: &str| module.get_export(name).is_some();
    let imports = |name: &str| module.imports().any(|import| import.name() == name);
    if made_by("TinyGo") {
        Some("Go, by TinyGo")
    } else if made_by("Go") || imports("poll_oneoff") && imports("sched_yield") {
        Some("Go")
    } else if exports("__new") || imports("abort") {
        Some("AssemblyScript")
    } else if made_by("rustc") || exports("proxy_on_memory_allocate") && exports("proxy_on_grpc_receive") {
        // The section is often stripped. Then the Rust SDK is known by exporting every callback.
        Some("Rust")
    } else if exports("emscripten_stack_get_end") || made_by("clang") {
        Some("C or C++")
    } else {
        None
    }
}
