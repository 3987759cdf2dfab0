//! libFuzzer on `cache_file::run`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ngx_proxy_wasm_fuzz::cache_file::run(data));
