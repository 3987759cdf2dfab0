//! Fuzzes the host functions: a plugin calls them in any order, in any context and with any
//! arguments, and its allocator may lie.

use proxy_wasm_host::abi::{BufferType, MapType, Status};
use proxy_wasm_host::local::probe::{ABI, Allocator, OUT, Probe, WASI};
use proxy_wasm_host::pairs::{Encoder, Measure, PairsBuf};

use crate::input::Input;

const ALLOCATORS: [Allocator; 7] = [
    Allocator::ReturnsZero,
    Allocator::ReturnsOutside,
    Allocator::Traps,
    Allocator::GrowsMemory,
    Allocator::AddsHeader,
    Allocator::CutsBody,
    Allocator::AsksForHeaders,
];

/// The start of the heap of the plugin's allocator. The data of a script stays below.
const HEAP: usize = 32768;

/// Numbers at which a range ends or an address wraps.
const NUMBERS: [u32; 16] = [
    0,
    1,
    2,
    0x7fff,
    0xffff,
    0x1_0000,
    0xffff - 3,
    0xffff - 7,
    0x7fff_fff8,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX - 8,
    u32::MAX - 7,
    u32::MAX - 3,
    u32::MAX - 1,
    u32::MAX,
];

/// Expects that each call returns a status, or traps if the allocator trapped; and that a failed
/// call changed nothing in the plugin.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let setup = input.byte();
    let mut probe = if setup & 0x80 == 0 { Probe::new() } else { Probe::without_request() };
    furnish(&probe);
    let allocator = ALLOCATORS.get(usize::from(setup & 0x0f)).copied();
    if let Some(allocator) = allocator {
        probe.set_allocator(allocator);
    }
    let may_trap = matches!(allocator, Some(Allocator::Traps));
    // These allocators write into the plugin themselves, or make the host give up what it began to
    // write.
    let may_change = matches!(
        allocator,
        Some(Allocator::AddsHeader | Allocator::CutsBody | Allocator::AsksForHeaders | Allocator::GrowsMemory)
    );

    let mut script = Script { input, free: 64 };
    while !script.input.is_empty() {
        let function = usize::from(script.input.byte());
        if function < 0xe0 {
            let (name, kinds) = ABI[function % ABI.len()];
            let arguments = script.arguments(&mut probe, kinds);
            let before = probe.memory().to_vec();
            match probe.try_call(name, &arguments) {
                Ok(Status::Ok) => {}
                Ok(status) => {
                    assert!(may_change || before == probe.memory(), "{name} {arguments:x?} {status:?} changed memory")
                }
                Err(trap) => assert!(may_trap, "{name} {arguments:x?}: {trap:#}"),
            }
        } else {
            let (name, kinds) = WASI[usize::from(script.input.byte()) % WASI.len()];
            let arguments = script.arguments(&mut probe, kinds);
            // Returns an errno or traps: wasmtime's own functions trap on an address outside
            // memory.
            let _ = probe.call_any(name, &arguments);
        }
    }
}

/// Puts something into every map and buffer.
fn furnish(probe: &Probe) {
    let mut request = probe.stream.request();
    for number in 0..8 {
        if let Ok(map) = MapType::try_from(number) {
            request.maps.entry(map).or_insert_with(|| vec![(b":status".to_vec(), b"200".to_vec())]);
        }
        if let Ok(buffer) = BufferType::try_from(number) {
            request.buffers.entry(buffer).or_insert_with(|| b"abc".to_vec());
        }
    }
    request.properties.insert(b"host".to_vec(), b"example.org".to_vec());
}

/// A sequence of calls, read from an input.
struct Script<'a> {
    input: Input<'a>,
    /// The address for the next bytes.
    free: usize,
}

impl Script<'_> {
    /// Makes arguments of these kinds: mostly what a function expects, sometimes any number.
    fn arguments(&mut self, probe: &mut Probe, kinds: &str) -> Vec<u32> {
        let mut arguments = Vec::new();
        for kind in kinds.chars() {
            let tag = self.input.byte();
            match (kind, tag) {
                ('s', 0..0xf0) => {
                    let bytes = self.input.bytes();
                    arguments.extend(self.lay(probe, bytes));
                }
                ('m', 0..0x40) => {
                    let bytes = self.input.bytes();
                    arguments.extend(self.lay(probe, bytes));
                }
                ('m', 0x40..0xf0) => {
                    let pairs: PairsBuf = (0..tag % 8).map(|_| (self.input.bytes(), self.input.bytes())).collect();
                    arguments.extend(self.lay(probe, &serialized(&pairs)));
                }
                ('s' | 'm', _) => arguments.extend([self.number(), self.number()]),
                ('v' | 'V', 0..0xe0) => arguments.push(u32::from(tag)),
                ('p' | 'P' | 'o', 0..0xf0) => arguments.push(OUT + u32::from(tag)),
                _ => arguments.push(self.number()),
            }
        }
        arguments
    }

    fn number(&mut self) -> u32 {
        match self.input.byte() {
            known @ 0..0x80 => NUMBERS[usize::from(known) % NUMBERS.len()],
            _ => self.input.number(),
        }
    }

    /// Writes bytes into memory. Returns their address and size.
    fn lay(&mut self, probe: &mut Probe, bytes: &[u8]) -> [u32; 2] {
        if self.free + bytes.len() > HEAP {
            self.free = 64;
        }
        let address = self.free;
        probe.memory()[address..][..bytes.len()].copy_from_slice(bytes);
        self.free += bytes.len();
        [address as u32, bytes.len() as u32]
    }
}

fn serialized(pairs: &PairsBuf) -> Vec<u8> {
    let mut measure = Measure::default();
    pairs.iter().for_each(|(name, value)| measure.add(name, value));
    let mut bytes = vec![0; measure.size()];
    let mut encoder = Encoder::new(&mut bytes, measure).expect("room for what was measured");
    pairs.iter().for_each(|(name, value)| encoder.push(name, value));
    bytes
}
