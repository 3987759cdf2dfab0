//! Prepares a module for images of its instances, before it is compiled.
//!
//! An image holds an instance's mutable globals, which only the module itself can reach. They are
//! exported for the host here. The start section, which would run again in every instance, becomes
//! a function that the host calls. What an image cannot hold is looked for in the code: an
//! instruction that changes a table, or drops a segment.
//!
//! All that the host must know about this later stands in the names of exports, because they are
//! what a compiled module keeps.

use std::borrow::Cow;
use std::ops::Range;

use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{Data, DataKind, ExternalKind, Operator, Parser, Payload, TypeRef, ValType};
use wasmtime::ModuleExport;

use crate::limits::images::GAP;

/// Changes with what is made of a module here.
pub const VERSION: &[u8] = b"2";

/// The beginning of the names of all exports that are added. A plugin's own exports of such names
/// are left out.
const PREFIX: &str = "proxy-wasm-host:";

/// The name of the function of the start section.
pub const START: &str = "proxy-wasm-host:start";

/// The beginning of the names of mutable globals.
const GLOBAL: &str = "proxy-wasm-host:global:";

/// The beginning of the names that say why there can be no image.
const OBSTACLE: &str = "proxy-wasm-host:obstacle:";

/// The beginning of the names that say which bytes of memory a fresh instance may have filled.
const FILLED: &str = "proxy-wasm-host:filled:";

/// The name that every module has which was prepared.
const PREPARED: &str = "proxy-wasm-host:prepared";

/// What is known about a module's images.
pub struct Prepared {
    /// The mutable globals.
    pub globals: Vec<ModuleExport>,
    /// Why there can be no image.
    pub obstacle: Option<String>,
    /// The bytes of memory that a fresh instance may have filled.
    pub filled: Vec<Range<usize>>,
}

impl Prepared {
    /// Reads what is known of a compiled module.
    pub fn of(module: &wasmtime::Module) -> Self {
        let names = || module.exports().map(|export| export.name());
        let globals = names().filter(|name| name.starts_with(GLOBAL));
        let globals = globals.filter_map(|name| module.get_export_index(name)).collect();
        let obstacle = match names().find_map(|name| name.strip_prefix(OBSTACLE)) {
            Some(obstacle) => Some(obstacle.to_owned()),
            None if names().any(|name| name == PREPARED) => None,
            None => Some("its module has a form that is not understood".to_owned()),
        };
        let filled = names().filter_map(|name| {
            let (start, end) = name.strip_prefix(FILLED)?.split_once('-')?;
            Some(start.parse().ok()?..end.parse().ok()?)
        });
        Self { globals, obstacle, filled: filled.collect() }
    }
}

/// Returns whether an export is one of the host's.
pub fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Prepares a module from its bytes or its text. Returns it as it is if it is not valid: the
/// compiler finds the words for that.
pub fn prepare(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Ok(wasm) = wat::parse_bytes(bytes) else { return Cow::Borrowed(bytes) };
    match rewrite(&wasm) {
        Ok(Some(prepared)) => Cow::Owned(prepared),
        _ => Cow::Borrowed(bytes),
    }
}

/// What stands in a module, besides the sections that are copied.
#[derive(Default)]
struct Found {
    globals: u32,
    mutable: Vec<u32>,
    start: Option<u32>,
    obstacle: Option<&'static str>,
    filled: Vec<Range<u64>>,
}

fn rewrite(wasm: &[u8]) -> wasmparser::Result<Option<Vec<u8>>> {
    let Some(found) = look(wasm)? else { return Ok(None) };
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::StartSection { .. } => {}
            Payload::ExportSection(exports) => {
                let mut section = ExportSection::new();
                for export in exports.clone() {
                    let export = export?;
                    if let Some(kind) = kind(export.kind)
                        && !is_own(export.name)
                    {
                        section.export(export.name, kind, export.index);
                    }
                }
                found.export(&mut section);
                module.section(&section);
            }
            _ => {
                if let Some((id, range)) = payload.as_section() {
                    module.section(&RawSection { id, data: &wasm[range] });
                }
            }
        }
    }
    Ok(Some(module.finish()))
}

/// Looks through a module. Returns `None` for one that is not to be prepared: it exports nothing,
/// or has no memory, and so is not a plugin.
fn look(wasm: &[u8]) -> wasmparser::Result<Option<Found>> {
    let mut found = Found::default();
    let (mut exports, mut memory) = (false, false);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import?.ty {
                        TypeRef::Global(ty) => {
                            if ty.mutable {
                                found.obstacle = Some("it imports a global");
                            }
                            found.globals += 1;
                        }
                        TypeRef::Memory(_) => memory = true,
                        _ => {}
                    }
                }
            }
            Payload::MemorySection(memories) => memory |= memories.count() > 0,
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let ty = global?.ty;
                    match ty.content_type {
                        _ if !ty.mutable => {}
                        ValType::Ref(_) => {
                            found.obstacle = Some("it has a global that refers to a function or an object")
                        }
                        _ => found.mutable.push(found.globals),
                    }
                    found.globals += 1;
                }
            }
            Payload::ExportSection(section) => {
                exports = true;
                for export in section {
                    if kind(export?.kind).is_none() {
                        return Ok(None);
                    }
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    found.fill(&segment?)?;
                }
            }
            Payload::StartSection { func, .. } => found.start = Some(func),
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    found.note(&operator?);
                }
            }
            _ => {}
        }
    }
    Ok((exports && memory).then_some(found))
}

impl Found {
    /// Notes the bytes that a segment fills. Where they lie is a constant, in all that compilers make.
    fn fill(&mut self, segment: &Data<'_>) -> wasmparser::Result<()> {
        let DataKind::Active { offset_expr, .. } = &segment.kind else { return Ok(()) };
        // The whole expression: it may also compute with constants.
        let mut offset = offset_expr.get_operators_reader();
        let (Operator::I32Const { value }, Operator::End) = (offset.read()?, offset.read()?) else {
            self.obstacle = Some("where its data lies is not a constant");
            return Ok(());
        };
        let start = u64::from(value.cast_unsigned());
        let end = start + segment.data.len() as u64;
        match self.filled.last_mut() {
            Some(last) if last.start <= start && start <= last.end + GAP as u64 => last.end = last.end.max(end),
            _ => self.filled.push(start..end),
        }
        Ok(())
    }

    /// Notes an instruction that changes what an image does not hold.
    fn note(&mut self, operator: &Operator<'_>) {
        match operator {
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. } => self.obstacle = Some("its code changes tables"),
            Operator::ElemDrop { .. } | Operator::DataDrop { .. } => self.obstacle = Some("its code drops segments"),
            _ => {}
        }
    }

    fn export(&self, section: &mut ExportSection) {
        for global in &self.mutable {
            section.export(&format!("{GLOBAL}{global}"), ExportKind::Global, *global);
        }
        if let Some(start) = self.start {
            section.export(START, ExportKind::Func, start);
        }
        for Range { start, end } in &self.filled {
            section.export(&format!("{FILLED}{start}-{end}"), ExportKind::Memory, 0);
        }
        section.export(PREPARED, ExportKind::Memory, 0);
        if let Some(obstacle) = self.obstacle {
            section.export(&format!("{OBSTACLE}{obstacle}"), ExportKind::Memory, 0);
        }
    }
}

fn kind(kind: ExternalKind) -> Option<ExportKind> {
    Some(match kind {
        ExternalKind::Func => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(wat: &str) -> Prepared {
        let engine = wasmtime::Engine::default();
        Prepared::of(&wasmtime::Module::new(&engine, prepare(wat.as_bytes())).unwrap())
    }

    fn obstacle(code: &str) -> Option<String> {
        let text = format!(
            r#"(module (memory (export "memory") 1) (table $t 2 funcref) (elem $e func $f) (data $d "x")
                (func $f (export "f") {code}))"#
        );
        prepared(&text).obstacle
    }

    #[test]
    fn mutable_globals_are_exported_by_their_index() {
        let found = prepared(
            r#"(module (import "env" "imported" (global i32)) (memory (export "memory") 1)
                (global i32 (i32.const 1)) (global (mut i64) (i64.const 2)) (global (mut v128) (v128.const i64x2 1 2)))"#,
        );
        assert_eq!((found.globals.len(), found.obstacle), (2, None));
    }

    #[test]
    fn what_a_fresh_instance_fills_is_known() {
        let text = r#"(module (memory (export "memory") 40) (data (i32.const 16) "ab") (data (i32.const 100) "c")
            (data (i32.const 2000000) "d") (data "passive"))"#;
        assert_eq!(prepared(text).filled, [16..101, 2_000_000..2_000_001]);
    }

    #[test]
    fn what_an_image_cannot_hold_is_found() {
        assert_eq!(obstacle("(drop (i32.const 1))"), None);
        for code in [
            "(table.set $t (i32.const 0) (ref.func $f))",
            "(drop (table.grow $t (ref.null func) (i32.const 1)))",
            "(table.fill $t (i32.const 0) (ref.null func) (i32.const 1))",
            "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 1))",
            "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))",
        ] {
            assert_eq!(obstacle(code).as_deref(), Some("its code changes tables"), "{code}");
        }
        for code in ["(elem.drop $e)", "(data.drop $d)"] {
            assert_eq!(obstacle(code).as_deref(), Some("its code drops segments"), "{code}");
        }
        let reference = r#"(module (memory (export "memory") 1) (global (mut funcref) (ref.null func)))"#;
        assert_eq!(
            prepared(reference).obstacle.as_deref(),
            Some("it has a global that refers to a function or an object")
        );
        let global = r#"(import "env" "global" (global (mut i32)))"#;
        let text = format!(r#"(module {global} (memory (export "memory") 1))"#);
        assert_eq!(prepared(&text).obstacle.as_deref(), Some("it imports a global"));
        let imported = r#"(import "env" "base" (global $base i32))"#;
        for (import, offset) in [("", "i32.add (i32.const 0) (i32.const 200000)"), (imported, "global.get $base")] {
            let data = format!(r#"(module {import} (memory (export "memory") 4) (data ({offset}) "secret"))"#);
            assert_eq!(prepared(&data).obstacle.as_deref(), Some("where its data lies is not a constant"), "{offset}");
        }
    }

    #[test]
    fn a_start_section_becomes_a_function() {
        let text = r#"(module (memory (export "memory") 1) (func $s unreachable) (start $s))"#;
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, prepare(text.as_bytes())).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, START).unwrap().call(&mut store, ()).unwrap_err();
    }

    #[test]
    fn what_is_not_a_plugin_stays_as_it_is() {
        for bytes in [&b"(module)"[..], b"(module (x))", b"\0asm\x02\0\0\0", b"", b"(module (func (export \"f\")))"] {
            assert_eq!(prepare(bytes), bytes);
        }
    }

    #[test]
    fn a_plugin_cannot_pretend() {
        let found = prepared(
            r#"(module (memory (export "memory") 1) (global (export "proxy-wasm-host:global:7") i32 (i32.const 1)))"#,
        );
        assert!(found.globals.is_empty() && found.obstacle.is_none());
    }
}
