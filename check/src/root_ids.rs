//! Whether a plugin has an effect, and if not, the root ids with which it has one.
//!
//! SDKs that find contexts by root id keep the ids in the module's data, where any text may be one:
//! each is tried.

use std::collections::BTreeSet;

use proxy_wasm_host::local::LocalHost;
use proxy_wasm_host::{Plugin, Verdict};
use wasmparser::{Parser, Payload};

use crate::module;

/// The longest text that is tried.
const LONGEST_ID: usize = 64;

/// The most texts that are tried.
const TEXTS: usize = 20_000;

/// The most ids that are named.
const NAMED: usize = 8;

/// A plugin does nothing.
pub struct NoEffect {
    /// What is said about the plugin, to be read after the file's name.
    pub reason: String,
    /// The root ids that would help.
    pub remedy: String,
}

/// Chooses the root id, and prints it if the plugin may ask for it.
pub fn no_effect(plugin: &Plugin<LocalHost>, bytes: &[u8]) -> Option<NoEffect> {
    let root_id = &plugin.identity().root_id;
    plugin.choose_root_id();
    if root_id.is_asked_for() {
        module::line("root id", format_args!("\"{}\"", root_id.as_str()));
        return (plugin.try_root_id(root_id.as_str()) != Verdict::Acts).then(|| {
            let remedy = remedy(&ids(plugin, bytes));
            NoEffect { reason: format!("does nothing with the root id {root_id}: {remedy}"), remedy }
        });
    }
    (plugin.try_root_id(root_id.as_str()) == Verdict::Nothing).then(|| NoEffect {
        reason: "does nothing: it calls no host function when it starts, is configured and gets a request".to_owned(),
        remedy: String::new(),
    })
}

fn remedy(ids: &[String]) -> String {
    match ids {
        [] => "no id was found in it that has a context".to_owned(),
        ids => format!("it has contexts of {}", ids.join(", ")),
    }
}

/// The root ids with which the plugin acts.
fn ids(plugin: &Plugin<LocalHost>, bytes: &[u8]) -> Vec<String> {
    let mut texts = BTreeSet::from([String::new()]);
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let Payload::DataSection(section) = payload else { continue };
        section.into_iter().map_while(Result::ok).for_each(|data| add_texts(data.data, &mut texts));
    }
    // The text of a module has its data between quotation marks.
    if !bytes.starts_with(b"\0asm") {
        bytes.split(|&byte| byte == b'"').for_each(|data| add_texts(data, &mut texts));
    }
    let acts = texts.iter().take(TEXTS).filter(|text| plugin.try_root_id(text) == Verdict::Acts);
    acts.take(NAMED).map(|id| format!("\"{id}\"")).collect()
}

/// Adds what reads as text: bytes, as in C++, and UTF-16, as in AssemblyScript.
fn add_texts(data: &[u8], texts: &mut BTreeSet<String>) {
    let narrow: Vec<u16> = data.iter().copied().map(u16::from).collect();
    let wide = |data: &[u8]| data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    for units in [narrow, wide(data), wide(data.get(1..).unwrap_or_default())] {
        for text in units.split(|unit| !(0x20..0x7f).contains(unit)) {
            if !text.is_empty() && text.len() <= LONGEST_ID {
                texts.insert(String::from_utf16_lossy(text));
            }
        }
    }
}
