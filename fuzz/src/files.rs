//! Fuzzes the functions of WASI for files: a plugin calls them in any order and with any arguments. It has two directories of a
//! tree with links out of it, special files and deep paths; one of them it may write. Nothing outside is ever opened, as far as
//! the kernel tells who watches it, no descriptor is of anything outside, and nothing outside changes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use proxy_wasm_host::config::Directory;
use proxy_wasm_host::local::probe::Probe;
use proxy_wasm_host::local::{self, LocalHost, LocalStream};
use proxy_wasm_host::{Plugin, PluginOptions};

use crate::input::Input;

/// The functions, with the kinds of their parameters: `f`ile descriptor, `s`tring (address and size), `b`uffer (address and size),
/// `i`ovecs (address and count), `p`ointer to a result, `n`umber of 32 bits, `N`umber of 64.
const FUNCTIONS: &[(&str, &str)] = &[
    ("fd_advise", "fNNn"),
    ("fd_allocate", "fNN"),
    ("fd_close", "f"),
    ("fd_datasync", "f"),
    ("fd_fdstat_get", "fp"),
    ("fd_fdstat_set_flags", "fn"),
    ("fd_fdstat_set_rights", "fNN"),
    ("fd_filestat_get", "fp"),
    ("fd_filestat_set_size", "fN"),
    ("fd_filestat_set_times", "fNNn"),
    ("fd_pread", "fiNp"),
    ("fd_prestat_get", "fp"),
    ("fd_prestat_dir_name", "fb"),
    ("fd_pwrite", "fiNp"),
    ("fd_read", "fip"),
    ("fd_readdir", "fbNp"),
    ("fd_renumber", "ff"),
    ("fd_seek", "fNnp"),
    ("fd_tell", "fp"),
    ("fd_write", "fip"),
    ("path_create_directory", "fs"),
    ("path_filestat_get", "fnsp"),
    ("path_filestat_set_times", "fnsNNn"),
    ("path_link", "fnsfs"),
    ("path_open", "fnsnNNnp"),
    ("path_open", "fnsnNNnp"),
    ("path_open", "fnsnNNnp"),
    ("path_readlink", "fsbp"),
    ("path_remove_directory", "fs"),
    ("path_rename", "fsfs"),
    ("path_symlink", "sfs"),
    ("path_unlink_file", "fs"),
];

/// What paths are made of.
const NAMES: [&str; 24] = [
    "a",
    "b",
    "c",
    "deep",
    "..",
    "..",
    ".",
    "",
    "relative",
    "absolute",
    "above",
    "root",
    "processes",
    "chain",
    "loop",
    "fifo",
    "socket",
    "to-fifo",
    "new",
    "etc",
    "passwd",
    "secret",
    "proc/self/environ",
    "a-name-that-is-rather-long",
];

/// Numbers at which something ends.
const NUMBERS: [u32; 12] =
    [0, 1, 2, 3, 0xffff, 0x1_0000, 0x1_0000 - 8, 0x7fff_ffff, 0x8000_0000, u32::MAX - 7, u32::MAX - 1, u32::MAX];

/// Where results are written, and where data and paths lie.
const RESULT: u32 = 16;
const PATHS: usize = 1024;
const DATA: u32 = 8192;

struct Tree(PathBuf);

impl Tree {
    fn of_process() -> &'static Self {
        static TREE: OnceLock<Tree> = OnceLock::new();
        TREE.get_or_init(|| {
            let path = std::env::temp_dir().join(format!("proxy-wasm-fuzz-files-{}", std::process::id()));
            fs::create_dir_all(path.join("outside/folder")).expect("a temporary folder");
            fs::write(path.join("outside/secret"), "secret").expect("a temporary file");
            let tree = Self(path.canonicalize().expect("a temporary folder"));
            tree.furnish("read").expect("a tree");
            tree
        })
    }

    fn of(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a directory as it is at first.
    fn furnish(&self, name: &str) -> std::io::Result<()> {
        let top = self.of(name);
        let _ = fs::remove_dir_all(&top);
        fs::create_dir_all(top.join("b/deep/deep/deep"))?;
        fs::write(top.join("a"), "some text")?;
        fs::write(top.join("b/c"), vec![b'x'; 100_000])?;
        let outside = self.of("outside").display().to_string();
        for (target, link) in [
            ("../outside/secret", "relative"),
            (&*format!("{outside}/secret"), "absolute"),
            ("../outside", "above"),
            ("/", "root"),
            ("/proc/self", "processes"),
            ("relative", "chain"),
            ("loop", "loop"),
            ("fifo", "to-fifo"),
            ("../../../outside", "b/above"),
        ] {
            symlink(target, top.join(link))?;
        }
        mkfifo(&top.join("fifo"), Mode::S_IRWXU)?;
        drop(UnixListener::bind(top.join("socket"))?);
        Ok(())
    }

    /// Expects that nothing outside has changed.
    fn check(&self) {
        let mut names: Vec<_> =
            fs::read_dir(self.of("outside")).expect("a folder").flatten().map(|e| e.file_name()).collect();
        names.sort();
        assert_eq!(names, ["folder", "secret"]);
        assert_eq!(fs::read(self.of("outside/secret")).expect("a file"), b"secret");
        assert_eq!(fs::read(self.of("read/a")).expect("a file"), b"some text", "only to be read");
    }
}

fn plugin(tree: &Tree) -> &'static Arc<Plugin<LocalHost>> {
    static PLUGIN: OnceLock<Arc<Plugin<LocalHost>>> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let names: BTreeSet<_> = FUNCTIONS.iter().collect();
        let functions = names.iter().map(|(name, kinds)| {
            let params: String = kinds
                .chars()
                .map(|kind| match kind {
                    'N' => " i64",
                    's' | 'b' | 'i' => " i32 i32",
                    _ => " i32",
                })
                .collect();
            let arguments: String =
                (0..params.split_whitespace().count()).map(|index| format!(" local.get {index}")).collect();
            let import =
                format!(r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param{params}) (result i32)))"#);
            (import, format!(r#"(func (export "{name}") (param{params}) (result i32){arguments} call ${name})"#))
        });
        let (imports, exports): (String, String) = functions.unzip();
        let wat = format!(
            r#"(module {imports} (memory (export "memory") 2) (func (export "proxy_abi_version_0_2_1")) {exports})"#
        );
        let given = [("read", "/read", false), ("write", "/write", true)].map(|(host, guest, writable)| Directory {
            host: tree.of(host),
            guest: guest.to_owned(),
            writable,
        });
        let options = PluginOptions { directories: Arc::from(given), ..PluginOptions::default() };
        local::plugin(wat.as_bytes(), options).expect("a plugin")
    })
}

/// What descriptors of this process are of.
fn opened() -> BTreeSet<PathBuf> {
    let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
    descriptors
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter(|path| path.is_absolute())
        .collect()
}

/// Expects that each call returns an error or succeeds, and does not lead out.
pub fn run(data: &[u8]) {
    let tree = Tree::of_process();
    tree.furnish("write").expect("a tree");
    let plugin = plugin(tree);
    let before = opened();
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).expect("inotify");
    for outside in ["outside", "outside/folder"] {
        inotify.add_watch(&tree.of(outside), AddWatchFlags::IN_ALL_EVENTS).expect("a watch");
    }

    let mut probe = Probe::of(plugin, LocalStream::default());
    let mut script = Script { input: Input::new(data), tree, at: PATHS };
    while !script.input.is_empty() {
        let (name, kinds) = FUNCTIONS[usize::from(script.input.byte()) % FUNCTIONS.len()];
        let arguments = script.arguments(&mut probe, kinds);
        let answer = probe.call_any(name, &arguments);
        assert!(answer.is_ok(), "{name} {arguments:x?}: {answer:?}");
        if name == "path_open" && matches!(answer, Ok(0)) {
            let inside = |path: &&PathBuf| !(path.starts_with(tree.of("read")) || path.starts_with(tree.of("write")));
            let out: Vec<_> = opened().difference(&before).filter(inside).cloned().collect();
            assert!(out.is_empty(), "{name} {arguments:x?} opened {out:?}");
        }
    }
    drop(probe);
    let events = inotify.read_events().unwrap_or_default();
    assert!(events.is_empty(), "{events:?}");
    drop(inotify);
    tree.check();
}

struct Script<'a> {
    input: Input<'a>,
    tree: &'a Tree,
    /// Where the next path is written.
    at: usize,
}

impl Script<'_> {
    /// Makes arguments of these kinds: mostly what a function expects, sometimes any number.
    fn arguments(&mut self, probe: &mut Probe, kinds: &str) -> Vec<u32> {
        let mut arguments = Vec::new();
        for kind in kinds.chars() {
            let tag = self.input.byte();
            match (kind, tag) {
                ('f', 0..0xf0) => arguments.push(3 + u32::from(tag % 8)),
                ('s', 0..0xf0) => {
                    let path = self.path();
                    arguments.extend(self.lay(probe, path.as_bytes()));
                }
                ('b', 0..0xf0) => arguments.extend([DATA, u32::from(tag) * 64]),
                ('i', 0..0xf0) => {
                    let sizes = [u32::from(tag), u32::from(tag) * 300];
                    let parts: Vec<u8> =
                        sizes.iter().flat_map(|size| [DATA, *size]).flat_map(u32::to_le_bytes).collect();
                    let [at, _] = self.lay(probe, &parts);
                    arguments.extend([at, 2]);
                }
                ('s' | 'b' | 'i', _) => arguments.extend([self.number(), self.number()]),
                ('p', 0..0xf0) => arguments.push(RESULT),
                // Flags and rights are small.
                ('n', 0..0xe0) => arguments.push(u32::from(tag % 32)),
                ('N', 0..0xe0) => arguments.push(u32::from(tag)),
                _ => arguments.push(self.number()),
            }
        }
        arguments
    }

    fn number(&mut self) -> u32 {
        match self.input.byte() {
            known @ 0..0xc0 => NUMBERS[usize::from(known) % NUMBERS.len()],
            _ => self.input.number(),
        }
    }

    /// A path of some names.
    fn path(&mut self) -> String {
        let names = self.input.byte();
        let mut path = match names {
            0xf0..0xf8 => self.tree.of("outside/secret").display().to_string(),
            0xf8.. => "deep/../".repeat(200),
            _ => String::new(),
        };
        for index in 0..names % 6 {
            if index > 0 {
                path.push('/');
            }
            path += NAMES[usize::from(self.input.byte()) % NAMES.len()];
        }
        path
    }

    /// Writes bytes into memory. Returns their address and size.
    fn lay(&mut self, probe: &mut Probe, bytes: &[u8]) -> [u32; 2] {
        if self.at + bytes.len() > DATA as usize {
            self.at = PATHS;
        }
        let address = self.at;
        probe.memory()[address..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
        [address as u32, bytes.len() as u32]
    }
}
