//! The guest of ABI 0.2.100, which is 0.2.1 with Higress's extensions.

hostcalls::guest! {
    marker: proxy_abi_version_0_2_100,
    chapters: [
        hostcalls::ops::COMMON,
        hostcalls::ops::SINCE_0_2_0,
        hostcalls::ops::ONLY_0_2_100,
        hostcalls::ops::RAW_ONLY_0_2_100
    ],
}
hostcalls::header_callbacks!();
