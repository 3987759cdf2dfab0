//! Where the code of guests is in this process's memory.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;

use nix::libc;
use parking_lot::RwLock;

/// The code of each module, by the address behind it. A signal handler only tries to read: while
/// the map is locked, the host runs, and no guest.
static CODE: RwLock<BTreeMap<usize, Code>> = RwLock::new(BTreeMap::new());

/// The code of a module.
struct Code {
    /// Where it begins.
    start: usize,
    /// The addresses of the functions, in order. What else the code consists of, the trampolines
    /// between host and guest, is not among them.
    functions: Box<[Range<usize>]>,
}

/// Bytes between two functions that are padding: anything else between them is longer.
const PADDING: usize = 16;

/// Keeps the code of a module known. It goes before the module does.
pub struct Registered {
    end: usize,
}

impl Registered {
    /// Makes the code of a module known.
    pub fn of(module: &wasmtime::Module) -> Self {
        let code = module.text().as_ptr_range();
        let (start, end) = (code.start.addr(), code.end.addr());
        if start != end {
            CODE.write().insert(end, Code { start, functions: functions(module) });
        }
        Self { end }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        CODE.write().remove(&self.end);
    }
}

fn functions(module: &wasmtime::Module) -> Box<[Range<usize>]> {
    let text = module.text().as_ptr().addr();
    let ranges = module.functions().map(|function| (function.offset, function.offset + function.len));
    let mut ranges: Vec<_> = ranges.map(|(start, end)| text + start..text + end).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start - last.end < PADDING => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined.into()
}

/// Whose code is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A function of a guest.
    Function,
    /// A trampoline between host and guest, which wasmtime compiled with the guest.
    Trampoline,
    /// The host.
    Host,
}

/// Finds whose code is at an address. A signal handler may call this.
pub fn place(address: usize) -> Place {
    let Some(modules) = CODE.try_read() else { return Place::Host };
    let next = modules.range(address.saturating_add(1)..).next();
    let Some((_, Code { functions, .. })) = next.filter(|(_, code)| code.start <= address) else { return Place::Host };
    let after = functions.partition_point(|function| function.start <= address);
    let function = after.checked_sub(1).and_then(|index| functions.get(index));
    if function.is_some_and(|function| function.contains(&address)) { Place::Function } else { Place::Trampoline }
}

/// As wasmtime has it.
pub const EXECUTED: c_int = libc::PROT_READ | libc::PROT_EXEC;

/// Not to be read either. What wasmtime maps around the code is only to be read: the kernel would
/// make one mapping of both, and might have none left for the way back.
pub const NOT_EXECUTED: c_int = libc::PROT_NONE;

/// Changes what the code of all guests may be used for. Returns false, and changes nothing, while
/// the host changes what is registered. A signal handler may call this.
pub fn protect(protection: c_int) -> bool {
    let Some(modules) = CODE.try_read() else { return false };
    for (&end, &Code { start, .. }) in modules.iter() {
        let start = ptr::with_exposed_provenance_mut::<c_void>(start);
        // SAFETY: the pages hold a module's code and nothing else, and the module is still there.
        // Who executes or reads it meanwhile faults, which `barrier` is for. It cannot fail: the
        // pages are one mapping before and after.
        #[allow(unsafe_code)]
        let _ = unsafe { libc::mprotect(start, end - start.addr(), protection) };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::{Engine, EngineConfig};

    #[test]
    fn the_functions_of_a_module_are_known_as_long_as_it_is_registered() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        let text = "(module (import \"a\" \"b\" (func $b (param i32)))
            (func (export \"f\") (param i32) (call $b (local.get 0)))
            (func (export \"g\") (param f64) (result f64) (f64.sqrt (local.get 0))))";
        let module = wasmtime::Module::new(engine.wasmtime(), text).unwrap();
        let start = module.text().as_ptr().addr();
        let of_functions: usize = module.functions().map(|function| function.len).sum();
        let is_function = |address: &usize| place(*address) == Place::Function;
        let known = || (start..start + module.text().len()).filter(is_function).count();
        assert_eq!(known(), 0);
        let registered = Registered::of(&module);
        assert!((of_functions..of_functions + 2 * PADDING).contains(&known()));
        for function in module.functions() {
            let first = start + function.offset;
            assert!(is_function(&first) && is_function(&(first + function.len - 1)));
        }
        assert!(known() < module.text().len() / 2, "{} of {}", known(), module.text().len());
        let end = start + module.text().len();
        assert_eq!((place(start - 1), place(end - 1), place(end)), (Place::Host, Place::Trampoline, Place::Host));
        drop(registered);
        assert_eq!(known(), 0);
    }

    /// The mapping of an address, and what it may be used for.
    fn mapping(address: usize) -> (Range<usize>, String) {
        let number = |digits| usize::from_str_radix(digits, 16).unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut mappings = maps.lines().map(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let (end, rest) = rest.split_once(' ').unwrap();
            (number(start)..number(end), rest[..3].to_owned())
        });
        mappings.find(|(range, _)| range.contains(&address)).unwrap()
    }

    #[test]
    fn code_is_one_mapping_whatever_it_may_be_used_for() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        let module = wasmtime::Module::new(engine.wasmtime(), "(module (func (export \"f\")))").unwrap();
        let registered = Registered::of(&module);
        let start = module.text().as_ptr().addr();
        let (range, usable) = mapping(start);
        assert_eq!((range.start, &*usable), (start, "r-x"));
        assert!(protect(NOT_EXECUTED));
        assert_eq!(mapping(start), (range.clone(), "---".into()));
        assert!(protect(EXECUTED));
        assert_eq!(mapping(start), (range, usable));
        drop(registered);
    }

    #[test]
    fn a_module_may_have_no_functions() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        let module = wasmtime::Module::new(engine.wasmtime(), "(module)").unwrap();
        drop(Registered::of(&module));
    }
}
