//! libFuzzer on `grpc_metadata::run`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ngx_proxy_wasm_fuzz::grpc_metadata::run(data));
