//! The guest of ABI 0.2.0: <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.0>.

hostcalls::guest! {
    marker: proxy_abi_version_0_2_0,
    chapters: [hostcalls::ops::COMMON, hostcalls::ops::SINCE_0_2_0, hostcalls::ops::RAW_SINCE_0_2_0],
}
hostcalls::header_callbacks!();
