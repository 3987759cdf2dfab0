//! libFuzzer on `grpc_messages::run`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ngx_proxy_wasm_fuzz::grpc_messages::run(data));
