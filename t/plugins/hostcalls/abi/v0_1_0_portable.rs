//! The guest of ABI 0.1.0 for other hosts: it imports none of the functions that they do not
//! have, or have in another form.

hostcalls::guest! {
    marker: proxy_abi_version_0_1_0,
    chapters: [hostcalls::ops::COMMON],
}
hostcalls::header_callbacks_0_1_0!();
