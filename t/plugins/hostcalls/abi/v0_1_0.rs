//! The guest of ABI 0.1.0: <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.1.0>.

hostcalls::guest! {
    marker: proxy_abi_version_0_1_0,
    chapters: [hostcalls::ops::COMMON, hostcalls::ops::ONLY_0_1_0, hostcalls::ops::RAW_ONLY_0_1_0],
}
hostcalls::header_callbacks_0_1_0!();
