//! Hostile arguments to every host function: wrong addresses, sizes and maps, and allocators that
//! misbehave.

use crate::abi::{MapType, Status};
use crate::local::probe::{ABI, Allocator, OUT, Probe, params};

/// Returns arguments that every host function can read, and the positions of the pointers among
/// them.
fn harmless(kinds: &str) -> (Vec<u32>, Vec<(usize, char)>) {
    let (mut arguments, mut pointers) = (Vec::new(), Vec::new());
    for kind in kinds.chars() {
        if !kind.eq_ignore_ascii_case(&'v') {
            pointers.push((arguments.len(), kind));
        }
        match kind {
            's' => arguments.extend([32, 4]),
            'm' => arguments.extend([0, 0]),
            'v' | 'V' => arguments.push(0),
            _ => arguments.push(OUT),
        }
    }
    (arguments, pointers)
}

#[test]
fn a_bad_pointer_is_an_invalid_memory_access_and_changes_nothing() {
    const MEMORY: u32 = 65536;
    for (name, kinds) in ABI {
        let (arguments, pointers) = harmless(kinds);
        for (index, kind) in pointers {
            let size = if kind == 'P' { 8 } else { 4 };
            for address in [MEMORY - size + 1, MEMORY, u32::MAX - 3, u32::MAX, 0x8000_0000, 0x7fff_ffff] {
                let mut arguments = arguments.clone();
                arguments[index] = address;
                if "sm".contains(kind) {
                    arguments[index + 1] = 4;
                }
                let mut probe = Probe::new();
                let world = probe.world();
                assert_eq!(probe.call(name, &arguments), Status::InvalidMemoryAccess, "{name} {arguments:x?}");
                assert_eq!(probe.world(), world, "{name} {arguments:x?}");
                assert_eq!(probe.number(OUT), 0, "{name} {arguments:x?}");
            }
        }
    }
}

#[test]
fn a_size_that_reaches_out_of_memory_is_an_invalid_memory_access() {
    for (name, kinds) in ABI {
        let (arguments, pointers) = harmless(kinds);
        for (index, _) in pointers.into_iter().filter(|(_, kind)| "sm".contains(*kind)) {
            for size in [65536 - 31, 65536, u32::MAX - 31, u32::MAX, 0x8000_0000] {
                let mut arguments = arguments.clone();
                (arguments[index], arguments[index + 1]) = (32, size);
                let mut probe = Probe::new();
                let world = probe.world();
                assert_eq!(probe.call(name, &arguments), Status::InvalidMemoryAccess, "{name} {arguments:x?}");
                assert_eq!(probe.world(), world, "{name} {arguments:x?}");
            }
        }
    }
}

#[test]
fn a_map_that_does_not_add_up_is_a_bad_argument_and_changes_nothing() {
    let maps: [&[u8]; 8] = [
        b"\x01",
        b"\x01\0\0",
        b"\x01\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0b",
        b"\x01\0\0\0\x01\0\0\0\xff\xff\xff\xffa\0b\0",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0b\0more",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0aXb\0",
    ];
    for (name, kinds) in ABI {
        let (arguments, pointers) = harmless(kinds);
        for (index, _) in pointers.into_iter().filter(|(_, kind)| *kind == 'm') {
            for map in maps {
                let mut probe = Probe::new();
                let mut arguments = arguments.clone();
                arguments[index..index + 2].copy_from_slice(&probe.put(map));
                let world = probe.world();
                assert_eq!(probe.call(name, &arguments), Status::BadArgument, "{name} {map:x?}");
                assert_eq!(probe.world(), world, "{name} {map:x?}");
            }
        }
    }
}

#[test]
fn random_calls_do_no_harm() {
    // Xorshift, so that the same numbers, and so a failure, come again.
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 33) as usize % below
    };
    let values =
        [0, 1, 2, 3, 4, 7, 8, OUT, 32, 100, 255, 32767, 65532, 65536, 0x7fff_ffff, 0x8000_0000, u32::MAX - 3, u32::MAX];
    let mut probe = Probe::new();
    for round in 0..30_000 {
        if round % 100 == 0 {
            probe = Probe::new();
        }
        let (name, kinds) = ABI[random(ABI.len())];
        let arguments: Vec<u32> = params(kinds).split_whitespace().map(|_| values[random(values.len())]).collect();
        // A trap comes from the allocator, which has little memory.
        let _ = probe.try_call(name, &arguments);
    }
}

#[test]
fn an_allocator_without_memory_is_an_invalid_memory_access() {
    for allocator in [Allocator::ReturnsZero, Allocator::ReturnsOutside] {
        let mut probe = Probe::new();
        probe.set_allocator(allocator);
        assert_eq!(probe.get("proxy_get_header_map_pairs", &[0]), Err(Status::InvalidMemoryAccess));
        let name = probe.put("host");
        assert_eq!(probe.get("proxy_get_header_map_value", &[0, name[0], name[1]]), Err(Status::InvalidMemoryAccess));
        assert_eq!(probe.get("proxy_get_buffer_bytes", &[0, 0, 10]), Err(Status::InvalidMemoryAccess));
        assert_eq!(probe.number(OUT), 0);
    }
}

#[test]
fn an_allocator_that_traps_traps_its_caller() {
    let mut probe = Probe::new();
    probe.set_allocator(Allocator::Traps);
    assert!(probe.try_call("proxy_get_header_map_pairs", &[0, OUT, OUT + 4]).is_err());
}

#[test]
fn an_allocator_may_grow_the_memory() {
    let mut probe = Probe::new();
    probe.set_allocator(Allocator::GrowsMemory);
    assert_eq!(probe.get("proxy_get_buffer_bytes", &[0, 0, 10]), Ok(b"0123456789".to_vec()));
}

#[test]
fn an_allocator_may_not_change_what_was_measured() {
    let mut probe = Probe::new();
    probe.set_allocator(Allocator::AddsHeader);
    assert_eq!(probe.get("proxy_get_header_map_pairs", &[0]), Err(Status::SerializationFailure));
    assert_eq!(probe.stream.request().maps[&MapType::HttpRequestHeaders].len(), 4);
    probe.set_allocator(Allocator::CutsBody);
    assert_eq!(probe.get("proxy_get_buffer_bytes", &[0, 0, 10]), Err(Status::BadArgument));
}

#[test]
fn an_allocator_that_needs_itself_is_refused() {
    let mut probe = Probe::new();
    probe.set_allocator(Allocator::AsksForHeaders);
    assert_eq!(probe.get("proxy_get_buffer_bytes", &[0, 0, 10]), Ok(b"0123456789".to_vec()));
    assert_eq!(probe.number(48), Status::InvalidMemoryAccess as u32);
}
