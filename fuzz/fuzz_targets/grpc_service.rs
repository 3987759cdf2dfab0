//! libFuzzer on `grpc_service::run`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ngx_proxy_wasm_fuzz::grpc_service::run(data));
