//! Sockets, of which there are none: a plugin calls other servers by the functions of Proxy-Wasm.

use wasmtime::Linker;

use super::files::stdio_or_badf;
use super::{Errno, Version};

pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    let module = version.module;
    let no_socket = |fd| stdio_or_badf(fd, Errno::Notsock);
    linker.func_wrap(module, "sock_accept", move |fd: u32, _flags: i32, _return_fd: i32| no_socket(fd))?;
    linker.func_wrap(
        module,
        "sock_recv",
        move |fd: u32, _parts: i32, _count: i32, _flags: i32, _return_size: i32, _return_flags: i32| no_socket(fd),
    )?;
    linker.func_wrap(
        module,
        "sock_send",
        move |fd: u32, _parts: i32, _count: i32, _flags: i32, _return_size: i32| no_socket(fd),
    )?;
    linker.func_wrap(module, "sock_shutdown", move |fd: u32, _how: i32| no_socket(fd))?;
    Ok(())
}
