//! The guest of ABI 0.2.1 for other hosts: it imports none of the functions of WASI that they do not have.

hostcalls::guest! {
    marker: proxy_abi_version_0_2_1,
    chapters: [hostcalls::ops::COMMON, hostcalls::ops::SINCE_0_2_0],
}
hostcalls::header_callbacks!();
