//! Which contexts live, and what belongs to a plugin context: its script, its variables and the calls that it waits for.
//!
//! A host that names a context it never created, or already deleted, or creates one twice, makes this guest panic.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::script::Script;

#[derive(Default)]
struct Contexts {
    /// Every context's plugin context: a plugin context's is itself.
    plugin_of: HashMap<u32, u32>,
    plugins: HashMap<u32, Plugin>,
    /// How often each callback ran in a context.
    counts: HashMap<(u32, &'static str), u32>,
}

#[derive(Default)]
struct Plugin {
    script: Option<Rc<Script>>,
    variables: HashMap<String, Vec<u8>>,
    /// Which context made an outgoing call.
    callers: HashMap<u32, u32>,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut Contexts) -> R) -> R {
    CONTEXTS.with_borrow_mut(f)
}

fn with_plugin<R>(plugin_id: u32, f: impl FnOnce(&mut Plugin) -> R) -> R {
    with(|contexts| f(contexts.plugins.get_mut(&plugin_id).expect("the plugin context lives")))
}

pub fn create(id: u32, parent: u32) {
    with(|contexts| {
        let plugin_id = if parent == 0 { id } else { parent };
        if parent == 0 {
            contexts.plugins.insert(id, Plugin::default());
        }
        assert!(
            contexts.plugins.contains_key(&plugin_id),
            "context {id} created in {parent}, which is no plugin context"
        );
        let former = contexts.plugin_of.insert(id, plugin_id);
        assert!(former.is_none(), "context {id} created twice");
    });
}

pub fn delete(id: u32) {
    with(|contexts| {
        contexts.plugin_of.remove(&id);
        contexts.counts.retain(|(context, _), _| *context != id);
        if contexts.plugins.remove(&id).is_some() {
            let left: Vec<_> = contexts.plugin_of.iter().filter(|(_, plugin)| **plugin == id).collect();
            assert!(left.is_empty(), "plugin context {id} deleted before its contexts {left:?}");
        }
    });
}

/// The plugin context that `id` is or belongs to.
pub fn plugin_of(id: u32) -> u32 {
    with(|contexts| contexts.plugin_of.get(&id).copied()).unwrap_or_else(|| panic!("there is no context {id}"))
}

pub fn count(id: u32, callback: &'static str) -> u32 {
    with(|contexts| {
        let count = contexts.counts.entry((id, callback)).or_default();
        *count += 1;
        *count
    })
}

pub fn script(plugin_id: u32) -> Option<Rc<Script>> {
    with_plugin(plugin_id, |plugin| plugin.script.clone())
}

pub fn set_script(plugin_id: u32, script: Script) {
    with_plugin(plugin_id, |plugin| plugin.script = Some(Rc::new(script)));
}

pub fn variable(plugin_id: u32, name: &str) -> Option<Vec<u8>> {
    with_plugin(plugin_id, |plugin| plugin.variables.get(name).cloned())
}

pub fn set_variable(plugin_id: u32, name: &str, value: Vec<u8>) {
    with_plugin(plugin_id, |plugin| plugin.variables.insert(name.into(), value));
}

pub fn caller(plugin_id: u32, call: u32) -> Option<u32> {
    with_plugin(plugin_id, |plugin| plugin.callers.get(&call).copied())
}

pub fn set_caller(plugin_id: u32, call: u32, id: u32) {
    with_plugin(plugin_id, |plugin| plugin.callers.insert(call, id));
}
