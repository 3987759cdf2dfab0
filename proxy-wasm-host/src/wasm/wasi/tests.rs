//! A guest that calls every function of WASI.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::{Engine, Instance, Linker, Memory, Module, Store, Val, ValType};

use super::{Access, Output, ProcExit, Wasi, WasiHost, add_to_linker, flush};
use crate::config::Directory;

/// Every function of preview 1 with its parameters: `i` has 32 bits, `I` has 64. Preview 0 has the
/// same functions without `sock_accept`.
pub const WASI: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_raise", "i"),
    ("sched_yield", ""),
    ("random_get", "ii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
const SPIPE: i32 = 70;

pub struct State {
    wasi: Wasi,
    lines: Vec<(Output, String)>,
}

impl WasiHost for State {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }

    fn memory(&self) -> Option<Memory> {
        None
    }

    fn log_line(&mut self, output: Output, line: &[u8]) {
        self.lines.push((output, String::from_utf8_lossy(line).into_owned()));
    }
}

pub struct Guest {
    pub store: Store<State>,
    pub instance: Instance,
}

impl Guest {
    fn new(module: &str) -> Self {
        Self::with_memory(module, 1)
    }

    /// A guest with that many pages of memory.
    fn with_memory(module: &str, pages: u32) -> Self {
        Self::make(module, pages, None)
    }

    /// A guest with directories.
    #[cfg(feature = "files")]
    pub fn with_directories(module: &str, given: &[&str], access: Access) -> Self {
        let given = given.iter().map(|text| Directory::parse(text).unwrap()).collect();
        Self::make(module, 16, Some((given, access)))
    }

    fn make(module: &str, pages: u32, directories: Option<(Arc<[Directory]>, Access)>) -> Self {
        let functions = WASI.iter().filter(|(name, _)| module != "wasi_unstable" || *name != "sock_accept");
        let (mut imports, mut exports) = (String::new(), String::new());
        for (name, kinds) in functions {
            let params: String = kinds.chars().map(|kind| if kind == 'I' { " i64" } else { " i32" }).collect();
            let arguments: String = (0..kinds.len()).map(|i| format!(" local.get {i}")).collect();
            writeln!(imports, r#"(import "{module}" "{name}" (func ${name} (param{params}) (result i32)))"#).unwrap();
            writeln!(exports, r#"(func (export "{name}") (param{params}) (result i32){arguments} call ${name})"#)
                .unwrap();
        }
        let text = format!(
            r#"(module {imports}
                (import "{module}" "proc_exit" (func $proc_exit (param i32)))
                (memory (export "memory") {pages})
                {exports}
                (func (export "proc_exit") (param i32) (result i32) local.get 0 call $proc_exit i32.const 0))"#
        );
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).unwrap();
        let mut wasi = Wasi::new(&[("NAME".into(), "value".into())]);
        if let Some((given, access)) = directories {
            super::add_directories_to_linker(&mut linker).unwrap();
            wasi = wasi.with_directories(&given, access);
        }
        let mut store = Store::new(&engine, State { wasi, lines: Vec::new() });
        let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
        Self { store, instance }
    }

    pub fn wasi(&mut self) -> &mut Wasi {
        &mut self.store.data_mut().wasi
    }

    pub fn try_call(&mut self, name: &str, arguments: &[i32]) -> wasmtime::Result<i32> {
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        let types: Vec<ValType> = function.ty(&self.store).params().collect();
        let value = |(ty, &value): (&ValType, &i32)| match ty {
            ValType::I64 => Val::I64(value.into()),
            _ => Val::I32(value),
        };
        let arguments: Vec<Val> = types.iter().zip(arguments).map(value).collect();
        let mut results = [Val::I32(-1)];
        function.call(&mut self.store, &arguments, &mut results)?;
        Ok(results[0].unwrap_i32())
    }

    pub fn call(&mut self, name: &str, arguments: &[i32]) -> i32 {
        self.try_call(name, arguments).unwrap()
    }

    pub fn memory(&mut self) -> &mut [u8] {
        self.instance.get_memory(&mut self.store, "memory").unwrap().data_mut(&mut self.store)
    }

    /// Writes text by one `fd_write` of two parts.
    fn write(&mut self, fd: i32, text: &str) -> i32 {
        let (first, second) = text.split_at(text.len() / 2);
        let parts = [1024, first.len(), 1024 + first.len(), second.len()].map(|number| (number as u32).to_le_bytes());
        self.memory()[64..80].copy_from_slice(parts.as_flattened());
        self.memory()[1024..][..text.len()].copy_from_slice(text.as_bytes());
        self.call("fd_write", &[fd, 64, 2, 8])
    }
}

#[test]
fn hostile_pointers_do_no_harm() {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let mut guest = Guest::new(module);
        for (name, kinds) in WASI {
            if guest.instance.get_func(&mut guest.store, name).is_none() {
                continue;
            }
            for hostile in [-1, -4, i32::MIN, i32::MAX, 65533, 65536] {
                for index in 0..kinds.len() {
                    let mut arguments = vec![1; kinds.len()];
                    arguments[index] = hostile;
                    // The guest gets an error; the host must not die.
                    let _ = guest.try_call(name, &arguments);
                }
                let _ = guest.try_call(name, &vec![hostile; kinds.len()]);
            }
        }
    }
}

#[test]
fn output_is_logged_by_lines() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    assert_eq!(guest.write(1, "out "), SUCCESS);
    assert_eq!(guest.write(2, "panic: oh no\ngoroutine"), SUCCESS);
    assert_eq!(guest.memory()[8..12], [22, 0, 0, 0]);
    assert_eq!(guest.write(1, "put\n"), SUCCESS);
    flush(guest.store.data_mut());
    let lines: Vec<_> = guest.store.data().lines.iter().map(|(output, line)| (*output, line.as_str())).collect();
    let expected = [(Output::Stderr, "panic: oh no"), (Output::Stdout, "out put"), (Output::Stderr, "goroutine")];
    assert_eq!(lines, expected);
}

#[test]
fn only_output_can_be_written() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    assert_eq!(guest.write(0, "text\n"), BADF);
    assert_eq!(guest.write(3, "text\n"), BADF);
    assert_eq!(guest.call("fd_write", &[1, 64, 1, -1]), FAULT);
    assert_eq!(guest.call("fd_write", &[1, -8, 2, 8]), FAULT);
    assert!(guest.store.data().lines.is_empty());
}

#[test]
fn one_call_takes_only_so_much() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    // Twice the whole memory.
    let parts = [0, 65536, 0, 65536].map(u32::to_le_bytes);
    guest.memory()[64..80].copy_from_slice(parts.as_flattened());
    assert_eq!(guest.call("fd_write", &[1, 64, 2, 8]), SUCCESS);
    assert_eq!(guest.memory()[8..12], 65536u32.to_le_bytes());
}

#[test]
fn one_call_writes_only_so_many_lines() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    guest.memory()[1024..3024].copy_from_slice(&b"x\n".repeat(1000));
    let parts = [1024, 100, 1124, 1900].map(u32::to_le_bytes);
    guest.memory()[64..80].copy_from_slice(parts.as_flattened());
    assert_eq!(guest.call("fd_write", &[1, 64, 2, 8]), SUCCESS);
    assert_eq!(guest.memory()[8..12], 512u32.to_le_bytes());
    assert_eq!(guest.store.data().lines.len(), 256);
}

#[test]
fn one_call_answers_only_so_many_subscriptions() {
    for (module, size) in [("wasi_snapshot_preview1", 48), ("wasi_unstable", 56)] {
        let mut guest = Guest::with_memory(module, 16);
        assert_eq!(guest.call("poll_oneoff", &[64, 64 + 5000 * size, 5000, 8]), SUCCESS);
        assert_eq!(guest.memory()[8..12], 1024u32.to_le_bytes());
    }
}

#[test]
fn random_numbers_fill_what_they_are_asked_for() {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let mut guest = Guest::with_memory(module, 17);
        assert_eq!(guest.call("random_get", &[1024, 512]), SUCCESS);
        let memory = guest.memory();
        assert!(memory[..1024].iter().chain(&memory[1536..]).all(|&byte| byte == 0));
        assert_ne!(memory[1024..1280], memory[1280..1536]);
        assert_eq!(guest.call("random_get", &[65536, 1 << 20]), SUCCESS);
        assert_eq!(guest.call("random_get", &[65535, 1 + (1 << 20)]), INVAL);
        assert_eq!(guest.call("random_get", &[1 << 20, 65537]), FAULT);
        assert_eq!(guest.call("random_get", &[-1, 2]), FAULT);
    }
}

#[test]
fn there_is_no_file() {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let mut guest = Guest::new(module);
        assert_eq!(guest.call("fd_prestat_get", &[3, 8]), BADF);
        assert_eq!(guest.call("path_open", &[3, 0, 64, 1, 0, 0, 0, 0, 8]), BADF);
        assert_eq!(guest.call("fd_seek", &[1, 0, 0, 8]), SPIPE);
        assert_eq!(guest.call("fd_seek", &[3, 0, 0, 8]), BADF);
        assert_eq!(guest.call("fd_close", &[3]), BADF);
    }
}

#[test]
fn there_is_no_socket_and_no_signal() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    for descriptor in 0..8 {
        assert_ne!(guest.call("sock_accept", &[descriptor, 0, 8]), SUCCESS);
        assert_ne!(guest.call("sock_recv", &[descriptor, 64, 1, 0, 8, 12]), SUCCESS);
        assert_ne!(guest.call("sock_send", &[descriptor, 64, 1, 0, 8]), SUCCESS);
        assert_ne!(guest.call("sock_shutdown", &[descriptor, 3]), SUCCESS);
    }
    assert_ne!(guest.call("proc_raise", &[9]), SUCCESS);
}

#[test]
fn input_has_ended() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    guest.memory()[8] = 1;
    assert_eq!(guest.call("fd_read", &[0, 64, 1, 8]), SUCCESS);
    assert_eq!(guest.memory()[8], 0);
    assert_eq!(guest.call("fd_read", &[1, 64, 1, 8]), BADF);
}

#[test]
fn the_streams_are_described() {
    for (module, size) in [("wasi_snapshot_preview1", 64), ("wasi_unstable", 56)] {
        let mut guest = Guest::new(module);
        guest.memory()[..256].fill(0xaa);
        assert_eq!(guest.call("fd_filestat_get", &[1, 128]), SUCCESS);
        assert_eq!(guest.memory()[128..].iter().position(|&byte| byte == 0xaa), Some(size));
        assert_eq!(guest.memory()[128 + 16], 2);
        assert_eq!(guest.call("fd_fdstat_get", &[2, 8]), SUCCESS);
        assert_eq!((guest.memory()[8], guest.memory()[16], guest.memory()[32]), (2, 64, 0xaa));
        assert_eq!(guest.call("fd_fdstat_get", &[3, 8]), BADF);
    }
}

#[test]
fn only_the_given_environment_is_seen() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    assert_eq!(guest.call("environ_sizes_get", &[8, 12]), SUCCESS);
    assert_eq!(guest.memory()[8..16], [1, 0, 0, 0, 11, 0, 0, 0]);
    assert_eq!(guest.call("environ_get", &[8, 64]), SUCCESS);
    assert_eq!(&guest.memory()[64..75], b"NAME=value\0");
    assert_eq!(guest.call("args_sizes_get", &[8, 12]), SUCCESS);
    assert_eq!(guest.memory()[8..16], [0; 8]);
}

#[test]
fn a_short_memory_is_not_written_past() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    for (name, arguments) in [
        ("environ_sizes_get", [8, 65534]),
        ("environ_sizes_get", [65534, 8]),
        ("environ_get", [65534, 64]),
        ("environ_get", [8, 65530]),
        ("clock_res_get", [0, 65530]),
    ] {
        assert_eq!(guest.call(name, &arguments), FAULT, "{name}");
    }
}

#[test]
fn clocks_tell_nanoseconds() {
    let mut guest = Guest::new("wasi_snapshot_preview1");
    let mut read = |name: &str, arguments: &[i32]| {
        assert_eq!(guest.call(name, arguments), SUCCESS);
        u64::from_le_bytes(guest.memory()[8..16].try_into().unwrap())
    };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let before = now();
    let wall = u128::from(read("clock_time_get", &[0, 1, 8]));
    assert!(before <= wall && wall <= now(), "{wall}");
    let (first, second) = (read("clock_time_get", &[1, 1, 8]), read("clock_time_get", &[1, 1, 8]));
    assert!(0 < first && first <= second, "{first} {second}");
    for clock in [0, 1] {
        let resolution = read("clock_res_get", &[clock, 8]);
        assert!((1..=1_000_000_000).contains(&resolution), "{resolution}");
    }
    for clock in [2, 3] {
        assert_eq!(guest.call("clock_time_get", &[clock, 1, 8]), BADF);
    }
    assert_eq!(guest.call("clock_time_get", &[4, 1, 8]), INVAL);
}

#[test]
fn an_exit_ends_the_call_with_its_code() {
    for code in [0, 1, 255, -1] {
        let error = Guest::new("wasi_unstable").try_call("proc_exit", &[code]).unwrap_err();
        assert_eq!(error.downcast_ref::<ProcExit>(), Some(&ProcExit(code)));
    }
}
