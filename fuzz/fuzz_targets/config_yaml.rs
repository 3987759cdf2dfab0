//! libFuzzer on `config_yaml::run`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ngx_proxy_wasm_fuzz::config_yaml::run(data));
