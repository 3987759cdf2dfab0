//! WASI for a plugin's state: spec v0.2.1, "Logging", `wasi_snapshot_preview1.fd_write`.

use wasmtime::Memory;

use crate::abi::LogLevel;
use crate::host::Host;
use crate::identity::Dialect;
use crate::state::VmState;
use crate::wasm::wasi::{Output, Wasi, WasiHost};

impl<H: Host> WasiHost for VmState<H> {
    fn wasi(&mut self) -> &mut Wasi {
        &mut self.wasi
    }

    fn memory(&self) -> Option<Memory> {
        self.guest.as_ref().map(|exports| exports.memory)
    }

    fn log_line(&mut self, output: Output, line: &[u8]) {
        let level = match output {
            Output::Stdout => LogLevel::Info,
            // Plugins for the C module write there what is not an error.
            Output::Stderr if self.plugin.dialect == Dialect::CModule => LogLevel::Warn,
            Output::Stderr => LogLevel::Error,
        };
        let (host, origin) = self.host_and_origin();
        if level >= host.log_level(origin.stream) {
            host.log(origin.stream, level, line, false);
        }
    }
}
