//! The limits of one instance: how much of the machine it may take.

use tracing::warn;
use wasmtime::{Module, ResourceLimiter, StoreLimits, StoreLimitsBuilder};

use crate::limits::instance::{INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};

/// The limits of an instance.
pub struct Limits {
    limits: StoreLimits,
    memory: usize,
    /// The plugin, until a line about its memory was logged.
    plugin: Option<String>,
}

impl Limits {
    /// The limits of an instance whose linear memory may have `memory` bytes. Growing beyond the
    /// limit fails in the guest. Most guests then trap, without a word about memory; so a line says
    /// it, once for each instance.
    pub fn new(plugin: &str, memory: usize) -> Self {
        let limits = StoreLimitsBuilder::new()
            .memory_size(memory)
            .memories(MEMORIES)
            .table_elements(TABLE_ELEMENTS)
            .tables(TABLES)
            .instances(INSTANCES)
            .build();
        Self { limits, memory, plugin: Some(plugin.to_owned()) }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let may_grow = self.limits.memory_growing(current, desired, maximum)?;
        if desired > self.memory
            && let Some(plugin) = self.plugin.take()
        {
            let limit = self.memory;
            warn!("plugin \"{plugin}\" gets no more memory: {desired} bytes are more than wasm_memory_limit ({limit})");
        }
        Ok(may_grow)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}

/// Says which limit a module exceeds from its start; `None` if it exceeds none. The size of its
/// memory is not checked here, because the plugin's options decide it.
pub fn excess(module: &Module) -> Option<String> {
    let needs = module.resources_required();
    let (memories, tables) = (needs.num_memories as usize, needs.num_tables as usize);
    let elements = needs.max_initial_table_size.unwrap_or_default();
    if memories > MEMORIES {
        return Some(format!("has {memories} memories, but its limit is {MEMORIES}"));
    }
    if tables > TABLES {
        return Some(format!("has {tables} tables, but its limit is {TABLES}"));
    }
    (elements > TABLE_ELEMENTS as u64)
        .then(|| format!("starts with a table of {elements} elements, but its limit is {TABLE_ELEMENTS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess_of(wat: &str) -> Option<String> {
        excess(&Module::new(&wasmtime::Engine::default(), wat).unwrap())
    }

    #[test]
    fn a_module_may_start_with_all_that_an_instance_may_have() {
        let tables = "(table 1 funcref) ".repeat(15);
        assert_eq!(excess_of(&format!("(module (memory 1) (table 1000000 funcref) {tables})")), None);
        assert_eq!(excess_of("(module)"), None);
    }

    #[test]
    fn what_is_too_much_is_told() {
        for (wat, told) in [
            ("(module (memory 1) (memory 1))", "has 2 memories, but its limit is 1"),
            (&format!("(module {})", "(table 1 funcref) ".repeat(17)), "has 17 tables, but its limit is 16"),
            (
                "(module (table 1 funcref) (table 1000001 funcref))",
                "starts with a table of 1000001 elements, but its limit is 1000000",
            ),
        ] {
            assert_eq!(excess_of(wat).as_deref(), Some(told));
        }
    }
}
