//! A guest with directories: what it can do in them, and that it does not get out.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::limits::wasi::{DESCRIPTORS, READ};
use crate::wasm::wasi::Access;
use crate::wasm::wasi::errno::Errno;
use crate::wasm::wasi::tests::{Guest, WASI};

const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// Where the tests put paths, parts, results and data in the guest's memory.
const PATH: i32 = 1024;
const OTHER_PATH: i32 = 6144;
const PARTS: i32 = 512;
const RESULT: i32 = 256;
const DATA: i32 = 65536;

const FOLLOW: i32 = 1;
const READS: i32 = 1 << 1;
const WRITES: i32 = 1 << 6;
const CREAT: i32 = 1;
const DIRECTORY: i32 = 2;
const EXCL: i32 = 4;
const TRUNC: i32 = 8;
const APPEND: i32 = 1;

/// A directory of the machine's, with another one beside it: `inside` and `outside`.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proxy-wasm-files-{}-{count}", std::process::id()));
        fs::create_dir_all(path.join("inside/deep/er")).unwrap();
        fs::create_dir_all(path.join("outside")).unwrap();
        fs::write(path.join("inside/a.txt"), "hello").unwrap();
        fs::write(path.join("inside/deep/er/b.txt"), "deep").unwrap();
        fs::write(path.join("outside/secret"), "secret").unwrap();
        Self(path)
    }

    fn inside(&self, name: &str) -> PathBuf {
        self.0.join("inside").join(name)
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.0.join("outside").join(name)
    }

    fn guest(&self, options: &str) -> Guest {
        self.guest_of(PREVIEW_1, options, Access::Given)
    }

    fn guest_of(&self, module: &str, options: &str, access: Access) -> Guest {
        Guest::with_directories(module, &[&format!("{}:/data{options}", self.inside("").display())], access)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Guest {
    fn put(&mut self, at: i32, bytes: &[u8]) -> [i32; 2] {
        self.memory()[at as usize..][..bytes.len()].copy_from_slice(bytes);
        [at, bytes.len() as i32]
    }

    fn u32(&mut self, at: i32) -> u32 {
        u32::from_le_bytes(self.memory()[at as usize..][..4].try_into().unwrap())
    }

    fn u64(&mut self, at: i32) -> u64 {
        u64::from_le_bytes(self.memory()[at as usize..][..8].try_into().unwrap())
    }

    /// Calls a function on a path below a descriptor.
    fn at(&mut self, name: &str, fd: i32, path: &str, rest: &[i32]) -> i32 {
        let [at, size] = self.put(PATH, path.as_bytes());
        self.call(name, &[&[fd, at, size], rest].concat())
    }

    fn open_with(&mut self, path: &str, lookup: i32, open: i32, rights: i32, flags: i32) -> Result<i32, i32> {
        let [at, size] = self.put(PATH, path.as_bytes());
        match self.call("path_open", &[3, lookup, at, size, open, rights, 0, flags, RESULT]) {
            0 => Ok(self.u32(RESULT) as i32),
            errno => Err(errno),
        }
    }

    fn open(&mut self, path: &str) -> Result<i32, i32> {
        self.open_with(path, FOLLOW, 0, READS, 0)
    }

    fn parts(&mut self, sizes: &[i32]) -> [i32; 2] {
        let mut address = DATA;
        for (index, size) in sizes.iter().enumerate() {
            self.put(PARTS + 8 * index as i32, &[address.to_le_bytes(), size.to_le_bytes()].concat());
            address += size;
        }
        [PARTS, sizes.len() as i32]
    }

    fn read(&mut self, fd: i32, sizes: &[i32]) -> Result<Vec<u8>, i32> {
        let [parts, count] = self.parts(sizes);
        match self.call("fd_read", &[fd, parts, count, RESULT]) {
            0 => {
                let size = self.u32(RESULT) as usize;
                Ok(self.memory()[DATA as usize..][..size].to_vec())
            }
            errno => Err(errno),
        }
    }

    fn write_to(&mut self, fd: i32, text: &str) -> Result<u32, i32> {
        self.put(DATA, text.as_bytes());
        let [parts, count] = self.parts(&[text.len() as i32]);
        match self.call("fd_write", &[fd, parts, count, RESULT]) {
            0 => Ok(self.u32(RESULT)),
            errno => Err(errno),
        }
    }

    /// Lists a directory with a buffer of that size, as libc does. Returns names and types.
    fn list(&mut self, fd: i32, size: i32) -> Vec<(String, u8)> {
        let (mut cookie, mut found) = (0i64, Vec::new());
        loop {
            let function = self.instance.get_func(&mut self.store, "fd_readdir").unwrap();
            let mut results = [wasmtime::Val::I32(-1)];
            let [fd, data, size] = [fd, DATA, size].map(wasmtime::Val::I32);
            let arguments = [fd, data, size, wasmtime::Val::I64(cookie), wasmtime::Val::I32(RESULT)];
            function.call(&mut self.store, &arguments, &mut results).unwrap();
            assert_eq!(results[0].unwrap_i32(), 0);
            let used = self.u32(RESULT) as usize;
            let bytes = self.memory()[DATA as usize..][..used].to_vec();
            let mut rest = &bytes[..];
            while rest.len() >= 24 {
                let name = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
                let Some(text) = rest.get(24..24 + name) else { break };
                found.push((String::from_utf8_lossy(text).into_owned(), rest[20]));
                cookie = i64::from_le_bytes(rest[..8].try_into().unwrap());
                rest = &rest[24 + name..];
            }
            if used < size.unwrap_i32() as usize {
                found.sort();
                return found;
            }
        }
    }
}

fn errno<T>(errno: Errno) -> Result<T, i32> {
    Err(errno as i32)
}

#[test]
fn a_directory_is_introduced() {
    let tree = Tree::new();
    let inside = tree.inside("").display().to_string();
    let mut guest =
        Guest::with_directories(PREVIEW_1, &[&format!("{inside}:/data"), &format!("{inside}:/")], Access::Given);
    for (fd, name) in [(3, "/data"), (4, "/")] {
        assert_eq!(guest.call("fd_prestat_get", &[fd, RESULT]), 0);
        assert_eq!((guest.u32(RESULT), guest.u32(RESULT + 4)), (0, name.len() as u32));
        assert_eq!(guest.call("fd_prestat_dir_name", &[fd, PATH, name.len() as i32]), 0);
        assert_eq!(&guest.memory()[PATH as usize..][..name.len()], name.as_bytes());
    }
    assert_eq!(guest.call("fd_prestat_dir_name", &[3, PATH, 4]), Errno::Nametoolong as i32);
    assert_eq!(guest.call("fd_prestat_get", &[5, RESULT]), Errno::Badf as i32);
}

#[test]
fn a_file_is_read() {
    let tree = Tree::new();
    for module in [PREVIEW_1, "wasi_unstable"] {
        let mut guest = tree.guest_of(module, "", Access::Given);
        let fd = guest.open("deep/../a.txt").unwrap();
        assert_eq!(guest.read(fd, &[2, 0, 100]).unwrap(), b"hello");
        assert_eq!(guest.read(fd, &[100]).unwrap(), b"");
        assert_eq!(guest.call("fd_tell", &[fd, RESULT]), 0);
        assert_eq!(guest.u64(RESULT), 5);
        let [parts, count] = guest.parts(&[3]);
        assert_eq!(guest.call("fd_pread", &[fd, parts, count, 1, RESULT]), 0);
        assert_eq!(&guest.memory()[DATA as usize..][..3], b"ell");
        // From the end, whose number differs.
        let end = if module == PREVIEW_1 { 2 } else { 1 };
        assert_eq!(guest.call("fd_seek", &[fd, -2, end, RESULT]), 0);
        assert_eq!(guest.read(fd, &[100]).unwrap(), b"lo");
        assert_eq!(guest.call("fd_seek", &[fd, -9, end, RESULT]), Errno::Inval as i32);
        assert_eq!(guest.write_to(fd, "x"), errno(Errno::Badf));
        assert_eq!(guest.call("fd_close", &[fd]), 0);
        assert_eq!(guest.read(fd, &[1]), errno(Errno::Badf));
    }
}

#[test]
fn one_call_reads_only_so_much() {
    let tree = Tree::new();
    fs::write(tree.inside("large"), vec![b'x'; 3 * READ as usize]).unwrap();
    let mut guest = tree.guest("");
    let fd = guest.open("large").unwrap();
    assert_eq!(guest.read(fd, &[10, 200_000]).unwrap().len(), READ as usize);
    assert_eq!(guest.read(fd, &[200_000]).unwrap().len(), READ as usize);
    assert_eq!(guest.read(fd, &[10]).unwrap().len(), 10);
}

#[test]
fn files_are_described() {
    let tree = Tree::new();
    File::open(tree.inside("a.txt")).unwrap().set_modified(std::time::UNIX_EPOCH + Duration::new(7, 5)).unwrap();
    for (module, size, links) in [(PREVIEW_1, 64, 24), ("wasi_unstable", 56, 20)] {
        let mut guest = tree.guest_of(module, "", Access::Given);
        let fd = guest.open("a.txt").unwrap();
        let [at, length] = guest.put(PATH, b"a.txt");
        for (name, arguments) in
            [("fd_filestat_get", vec![fd, DATA]), ("path_filestat_get", vec![3, FOLLOW, at, length, DATA])]
        {
            guest.memory()[DATA as usize..][..100].fill(0xaa);
            assert_eq!(guest.call(name, &arguments), 0);
            assert_eq!(guest.memory()[DATA as usize..][..100].iter().rposition(|&byte| byte != 0xaa), Some(size - 1));
            assert_eq!(guest.memory()[DATA as usize + 16], 4, "{name}: a regular file");
            assert_eq!(guest.u32(DATA + links), 1, "{name}: one link");
            let end = DATA + size as i32;
            assert_eq!((guest.u64(end - 32), guest.u64(end - 16)), (5, 7_000_000_005), "{name}: size and mtim");
        }
        assert_eq!(guest.call("fd_filestat_get", &[3, DATA]), 0);
        assert_eq!(guest.memory()[DATA as usize + 16], 3, "a directory");
        assert_eq!(guest.call("fd_fdstat_get", &[3, DATA]), 0);
        assert_eq!(guest.memory()[DATA as usize], 3);
        assert_eq!(guest.call("fd_fdstat_get", &[fd, DATA]), 0);
        assert_eq!((guest.memory()[DATA as usize], guest.u64(DATA + 8) & (2 | 64)), (4, 2), "only to be read");
        // The standard ones are what they are without directories.
        assert_eq!(guest.call("fd_fdstat_get", &[1, DATA]), 0);
        assert_eq!(guest.memory()[DATA as usize], 2);
        assert_eq!(guest.call("fd_filestat_get", &[2, DATA]), 0);
        assert_eq!(guest.call("fd_close", &[1]), 0);
        assert_eq!(guest.call("fd_seek", &[1, 0, 0, RESULT]), Errno::Spipe as i32);
        assert_eq!(guest.call("fd_read", &[0, PARTS, 1, RESULT]), 0);
    }
}

#[test]
fn a_directory_is_listed_with_any_buffer() {
    let tree = Tree::new();
    let mut expected = vec![(".".to_owned(), 3), ("..".to_owned(), 3), ("a.txt".to_owned(), 4), ("deep".to_owned(), 3)];
    for number in 0..300 {
        fs::write(tree.inside(&format!("file-{number}")), "").unwrap();
        expected.push((format!("file-{number}"), 4));
    }
    symlink("a.txt", tree.inside("link")).unwrap();
    expected.push(("link".to_owned(), 7));
    expected.sort();
    let mut guest = tree.guest("");
    for size in [64, 300, 4096, 100_000] {
        assert_eq!(guest.list(3, size), expected, "{size}");
    }
    let fd = guest.open_with("deep", FOLLOW, DIRECTORY, READS, 0).unwrap();
    assert_eq!(guest.list(fd, 4096).last(), Some(&("er".to_owned(), 3)));
    assert_eq!(guest.call("fd_readdir", &[fd + 1, DATA, 100, 0, RESULT]), Errno::Badf as i32);
}

#[test]
fn nothing_leads_out() {
    let tree = Tree::new();
    let outside = tree.outside("secret").display().to_string();
    for (target, name) in [
        (outside.as_str(), "absolute"),
        ("../outside/secret", "relative"),
        ("../outside", "directory"),
        ("/proc/self/root", "root"),
        ("/", "slash"),
        ("deep/../../outside", "longer"),
        ("chain2", "chain1"),
        ("../outside/secret", "chain2"),
        ("loop", "loop"),
    ] {
        symlink(target, tree.inside(name)).unwrap();
    }
    for options in ["", ":rw"] {
        let mut guest = tree.guest(options);
        for path in [
            "..",
            "../outside/secret",
            "deep/../../outside/secret",
            "deep/er/../../../outside/secret",
            "./../outside/secret",
            &outside,
            "/etc/passwd",
            "//etc/passwd",
            "/",
            "/proc/self/environ",
            "/data/a.txt",
            "absolute",
            "relative",
            "directory",
            "directory/secret",
            "root/etc/passwd",
            "slash/etc/passwd",
            "longer/secret",
            "chain1",
            "deep/../directory/secret",
        ] {
            for (open, rights) in [(0, READS), (DIRECTORY, READS), (CREAT, WRITES), (TRUNC, WRITES)] {
                let opened = guest.open_with(path, FOLLOW, open, rights, 0);
                assert_eq!(opened, errno(Errno::Perm), "{path} {open}");
            }
            let [at, size] = guest.put(PATH, path.as_bytes());
            assert_eq!(guest.call("path_filestat_get", &[3, FOLLOW, at, size, DATA]), Errno::Perm as i32, "{path}");
        }
        assert_eq!(guest.open("loop"), errno(Errno::Loop));
        for path in ["../outside/new", &format!("{}/new", tree.outside("").display()), "directory/new", "longer/new"] {
            let refused = Errno::Perm as i32;
            assert_eq!(guest.at("path_create_directory", 3, path, &[]), refused, "{path}");
            assert_eq!(guest.at("path_unlink_file", 3, path, &[]), refused, "{path}");
            assert_eq!(guest.at("path_remove_directory", 3, path, &[]), refused, "{path}");
            let [to, size] = guest.put(OTHER_PATH, path.as_bytes());
            assert_eq!(guest.at("path_rename", 3, "a.txt", &[3, to, size]), refused, "{path}");
            let [at, length] = guest.put(PATH, b"a.txt");
            assert_eq!(guest.call("path_link", &[3, 0, at, length, 3, to, size]), refused, "{path}");
        }
        // Not even a link that would lead out.
        for target in ["../outside/secret", "a.txt", "/etc/passwd"] {
            let [at, size] = guest.put(PATH, target.as_bytes());
            let [to, length] = guest.put(OTHER_PATH, b"new-link");
            assert_eq!(guest.call("path_symlink", &[at, size, 3, to, length]), Errno::Perm as i32);
        }
    }
    assert_eq!(fs::read_to_string(tree.outside("secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(tree.outside("")).unwrap().count(), 1);
    assert!(tree.inside("new-link").symlink_metadata().is_err());
}

#[test]
fn a_link_inside_is_followed() {
    let tree = Tree::new();
    symlink("deep/er/b.txt", tree.inside("link")).unwrap();
    let mut guest = tree.guest("");
    let fd = guest.open("link").unwrap();
    assert_eq!(guest.read(fd, &[10]).unwrap(), b"deep");
    assert_eq!(guest.open_with("link", 0, 0, READS, 0), errno(Errno::Loop));
    assert_eq!(guest.at("path_readlink", 3, "link", &[DATA, 4, RESULT]), 0);
    assert_eq!((guest.u32(RESULT), &guest.memory()[DATA as usize..][..4]), (4, &b"deep"[..]));
}

#[test]
fn what_is_neither_file_nor_directory_is_not_opened() {
    let tree = Tree::new();
    mkfifo(&tree.inside("fifo"), Mode::S_IRWXU).unwrap();
    symlink("fifo", tree.inside("link")).unwrap();
    let _listener = UnixListener::bind(tree.inside("socket")).unwrap();
    let mut guest = tree.guest(":rw");
    for path in ["fifo", "link", "socket"] {
        for (open, rights) in [(0, READS), (0, WRITES), (0, READS | WRITES), (CREAT, WRITES), (TRUNC, WRITES)] {
            assert_eq!(guest.open_with(path, FOLLOW, open, rights, 0), errno(Errno::Notsup), "{path}");
        }
        let [at, size] = guest.put(PATH, path.as_bytes());
        assert_eq!(guest.call("path_filestat_get", &[3, FOLLOW, at, size, DATA]), 0, "{path}");
    }
    // They are listed, and can be removed.
    assert_eq!(guest.list(3, 4096).len(), 7);
    assert_eq!(guest.at("path_unlink_file", 3, "fifo", &[]), 0);
}

#[test]
fn a_device_is_not_opened() {
    let mut guest = Guest::with_directories(PREVIEW_1, &["/dev:/dev"], Access::Given);
    for path in ["null", "zero", "full"] {
        assert_eq!(guest.open(path), errno(Errno::Notsup), "{path}");
    }
}

#[test]
fn processes_are_not_seen() {
    let mut guest = Guest::with_directories(PREVIEW_1, &["/proc:/proc"], Access::Given);
    assert_eq!(guest.open("self/environ"), errno(Errno::Perm));
    let mut guest = Guest::with_directories(PREVIEW_1, &["/:/"], Access::Given);
    for path in ["proc/self/environ", "proc/self/maps", "proc", "proc/self/root/etc/passwd", "proc/1/cwd"] {
        assert!(guest.open(path).is_err(), "{path}");
    }
    assert_eq!(guest.open("proc/self/environ"), errno(Errno::Perm));
}

#[test]
fn what_is_only_to_be_read_is_not_changed() {
    let tree = Tree::new();
    for (options, access) in [("", Access::Given), (":rw", Access::ReadOnly)] {
        let mut guest = tree.guest_of(PREVIEW_1, options, access);
        let refused = Errno::Perm as i32;
        for (path, open, rights) in [
            ("a.txt", 0, WRITES),
            ("a.txt", 0, READS | WRITES),
            ("a.txt", TRUNC, READS),
            ("a.txt", CREAT, READS),
            ("new", CREAT, WRITES),
            ("new", CREAT | EXCL, READS),
        ] {
            assert_eq!(guest.open_with(path, FOLLOW, open, rights, 0), Err(refused), "{path} {open}");
        }
        let fd = guest.open("a.txt").unwrap();
        assert_eq!(guest.write_to(fd, "x"), errno(Errno::Badf));
        assert_eq!(guest.call("fd_filestat_set_size", &[fd, 0]), Errno::Badf as i32);
        assert_eq!(guest.call("fd_filestat_set_times", &[fd, 0, 0, 5]), refused);
        assert_eq!(guest.call("fd_filestat_set_times", &[3, 0, 0, 5]), refused);
        assert_eq!(guest.at("path_create_directory", 3, "new", &[]), refused);
        assert_eq!(guest.at("path_unlink_file", 3, "a.txt", &[]), refused);
        assert_eq!(guest.at("path_remove_directory", 3, "deep/er", &[]), refused);
        let [to, size] = guest.put(OTHER_PATH, b"new");
        assert_eq!(guest.at("path_rename", 3, "a.txt", &[3, to, size]), refused);
        let [at, length] = guest.put(PATH, b"a.txt");
        assert_eq!(guest.call("path_link", &[3, 0, at, length, 3, to, size]), refused);
        assert_eq!(guest.call("path_filestat_set_times", &[3, FOLLOW, at, length, 0, 0, 5]), refused);
        assert_eq!(guest.wasi().files_obstacle(), Some("it has files open, or has closed a directory"));
    }
    assert_eq!(fs::read_to_string(tree.inside("a.txt")).unwrap(), "hello");
    assert_eq!(fs::read_dir(tree.inside("")).unwrap().count(), 2);
}

#[test]
fn what_may_be_written_is_changed() {
    let tree = Tree::new();
    let mut guest = tree.guest(":rw");
    let fd = guest.open_with("new", FOLLOW, CREAT | EXCL, READS | WRITES, 0).unwrap();
    assert_eq!(guest.open_with("new", FOLLOW, CREAT | EXCL, READS | WRITES, 0), errno(Errno::Exist));
    assert_eq!(guest.write_to(fd, "hello world"), Ok(11));
    assert_eq!(guest.call("fd_seek", &[fd, 6, 0, RESULT]), 0);
    assert_eq!(guest.read(fd, &[100]).unwrap(), b"world");
    assert_eq!(guest.call("fd_filestat_set_size", &[fd, 5]), 0);
    assert_eq!(guest.call("fd_fdstat_set_flags", &[fd, APPEND]), 0);
    assert_eq!(guest.call("fd_seek", &[fd, 0, 0, RESULT]), 0);
    assert_eq!(guest.write_to(fd, "!"), Ok(1));
    assert_eq!(guest.call("fd_sync", &[fd]), 0);
    assert_eq!(guest.call("fd_datasync", &[fd]), 0);
    assert_eq!(guest.call("fd_filestat_set_times", &[fd, 0, 5, 4]), 0);
    assert_eq!(fs::read_to_string(tree.inside("new")).unwrap(), "hello!");
    assert_eq!(
        fs::metadata(tree.inside("new")).unwrap().modified().unwrap(),
        std::time::UNIX_EPOCH + Duration::from_nanos(5)
    );
    let fd = guest.open_with("new", FOLLOW, TRUNC, WRITES, APPEND).unwrap();
    assert_eq!(guest.read(fd, &[1]), errno(Errno::Badf));
    assert_eq!((guest.write_to(fd, "a"), guest.write_to(fd, "b")), (Ok(1), Ok(1)));

    assert_eq!(guest.at("path_create_directory", 3, "folder", &[]), 0);
    let [to, size] = guest.put(OTHER_PATH, b"folder/moved");
    assert_eq!(guest.at("path_rename", 3, "new", &[3, to, size]), 0);
    assert_eq!(fs::read_to_string(tree.inside("folder/moved")).unwrap(), "ab");
    let [at, length] = guest.put(PATH, b"a.txt");
    let [to, size] = guest.put(OTHER_PATH, b"folder/linked");
    assert_eq!(guest.call("path_link", &[3, 0, at, length, 3, to, size]), 0);
    assert_eq!(guest.call("path_filestat_set_times", &[3, FOLLOW, at, length, 0, 7, 4]), 0);
    assert_eq!(guest.at("path_remove_directory", 3, "folder", &[]), Errno::Notempty as i32);
    for name in ["folder/moved", "folder/linked"] {
        assert_eq!(guest.at("path_unlink_file", 3, name, &[]), 0);
    }
    assert_eq!(guest.at("path_remove_directory", 3, "folder", &[]), 0);
    assert_eq!(guest.wasi().files_obstacle(), Some("it changed files while it started"));
}

#[test]
fn two_directories_keep_their_permissions() {
    let tree = Tree::new();
    let (inside, outside) = (tree.inside("").display().to_string(), tree.outside("").display().to_string());
    let given = [&*format!("{inside}:/in"), &*format!("{outside}:/out:rw")];
    let mut guest = Guest::with_directories(PREVIEW_1, &given, Access::Given);
    let [to, size] = guest.put(OTHER_PATH, b"new");
    assert_eq!(guest.at("path_rename", 3, "a.txt", &[4, to, size]), Errno::Perm as i32);
    assert_eq!(guest.at("path_rename", 4, "secret", &[3, to, size]), Errno::Perm as i32);
    assert_eq!(guest.at("path_rename", 4, "secret", &[4, to, size]), 0);
    // A directory that takes another descriptor is the same.
    assert_eq!(guest.call("fd_renumber", &[3, 4]), 0);
    assert_eq!(guest.at("path_create_directory", 4, "new", &[]), Errno::Perm as i32);
    assert_eq!(guest.call("fd_prestat_dir_name", &[4, DATA, 3]), 0);
    assert_eq!(&guest.memory()[DATA as usize..][..3], b"/in");
    assert_eq!(guest.call("fd_prestat_get", &[3, RESULT]), Errno::Badf as i32);
    assert_eq!(guest.call("fd_renumber", &[4, 1]), Errno::Badf as i32);
}

#[test]
fn an_instance_has_only_so_many_descriptors() {
    let tree = Tree::new();
    let mut guest = tree.guest("");
    let opened: Vec<_> = (0..DESCRIPTORS).map(|_| guest.open("a.txt").unwrap()).collect();
    assert_eq!(opened, (4..4 + DESCRIPTORS as i32).collect::<Vec<_>>());
    assert_eq!(guest.open("a.txt"), errno(Errno::Mfile));
    assert_eq!(guest.call("fd_close", &[10]), 0);
    assert_eq!(guest.open("no such"), errno(Errno::Noent));
    assert_eq!(guest.open("a.txt"), Ok(10));
    guest.wasi().close_files();
    assert_eq!(guest.wasi().files_obstacle(), None);
    assert_eq!(guest.open("a.txt"), Ok(4));
}

#[test]
fn hostile_arguments_do_no_harm() {
    let tree = Tree::new();
    for module in [PREVIEW_1, "wasi_unstable"] {
        let mut guest = tree.guest_of(module, ":rw", Access::Given);
        for (name, kinds) in WASI {
            if guest.instance.get_func(&mut guest.store, name).is_none() {
                continue;
            }
            for hostile in [-1, -4, i32::MIN, i32::MAX, 65533, 65536, (1 << 20) - 1] {
                for index in 0..kinds.len() {
                    for usual in [3, 4, 64] {
                        let fd = guest.open("a.txt").unwrap();
                        let mut arguments = vec![usual; kinds.len()];
                        arguments[0] = if usual == 4 { fd } else { 3 };
                        arguments[index] = hostile;
                        // An error, and no trap but those that plugins without directories get.
                        let result = guest.try_call(name, &arguments);
                        assert!(result.is_ok(), "{name} {arguments:?}: {result:?}");
                        guest.wasi().close_files();
                    }
                }
            }
        }
    }
    assert_eq!(fs::read_to_string(tree.outside("secret")).unwrap(), "secret");
}

#[test]
fn a_path_is_text_of_some_length() {
    let tree = Tree::new();
    let mut guest = tree.guest(":rw");
    assert_eq!(guest.open(""), errno(Errno::Noent));
    assert_eq!(guest.open("a.txt\0"), errno(Errno::Inval));
    assert_eq!(guest.open(&"x".repeat(4097)), errno(Errno::Nametoolong));
    assert_eq!(guest.open(&"x".repeat(300)), errno(Errno::Nametoolong));
    assert_eq!(guest.open("a.txt/"), errno(Errno::Notdir));
    assert_eq!(guest.open("a.txt/b"), errno(Errno::Notdir));
    let [at, size] = guest.put(PATH, b"\xff\xfe");
    assert_eq!(guest.call("path_open", &[3, 1, at, size, 0, 2, 0, 0, RESULT]), Errno::Ilseq as i32);
    // Deeper than the stack of a host that follows paths by itself.
    assert_eq!(guest.open(&"deep/../".repeat(500)), Ok(4));
}

#[test]
fn a_directory_that_is_gone_is_an_error() {
    let tree = Tree::new();
    let mut guest = tree.guest("");
    fs::rename(tree.inside(""), tree.0.join("elsewhere")).unwrap();
    assert_eq!(guest.open("a.txt"), errno(Errno::Noent));
    // It is opened when it is first used.
    fs::rename(tree.0.join("elsewhere"), tree.inside("")).unwrap();
    assert!(guest.open("a.txt").is_ok());
    assert!(Path::new(&tree.inside("a.txt")).exists());
}

#[test]
fn polling_a_file_does_not_wait() {
    let tree = Tree::new();
    let mut guest = tree.guest("");
    let fd = guest.open("a.txt").unwrap();
    let mut subscription = [0; 48];
    subscription[8] = 1;
    subscription[16] = fd as u8;
    guest.put(PATH, &subscription);
    assert_eq!(guest.call("poll_oneoff", &[PATH, DATA, 1, RESULT]), 0);
    assert_eq!((guest.u32(RESULT), guest.memory()[DATA as usize + 8], guest.u64(DATA + 16)), (1, 0, 1));
}

#[test]
fn no_thread_is_started() {
    let threads = || {
        let names = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
        names.filter_map(|comm| fs::read_to_string(comm).ok()).filter(|name| name.contains("tokio")).count()
    };
    let tree = Tree::new();
    let mut guest = tree.guest(":rw");
    let fd = guest.open_with("new", FOLLOW, CREAT, READS | WRITES, 0).unwrap();
    assert_eq!(guest.write_to(fd, "x"), Ok(1));
    for name in ["fd_sync", "fd_datasync"] {
        assert_eq!(guest.call(name, &[fd]), 0);
    }
    assert_eq!(guest.call("fd_advise", &[fd, 0, 0, 3]), 0);
    assert_eq!(guest.at("path_create_directory", 3, "folder", &[]), 0);
    assert_eq!(guest.at("path_unlink_file", 3, "new", &[]), 0);
    assert_eq!(threads(), 0);
}
