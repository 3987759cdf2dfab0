//! Tells the sources which nginx they are built for, and compiles the accessors of bit-fields in C.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(nginx_linked_headers)");
    println!(
        "cargo::rustc-check-cfg=cfg(ngx_feature, values({}))",
        env::var("DEP_NGINX_FEATURES_CHECK").unwrap_or_default()
    );
    for feature in env::var("DEP_NGINX_FEATURES").unwrap_or_default().split(',').filter(|f| !f.is_empty()) {
        println!("cargo::rustc-cfg=ngx_feature=\"{feature}\"");
    }
    let version: u32 = env::var("DEP_NGINX_VERSION_NUMBER")
        .ok()
        .and_then(|version| version.trim().parse().ok())
        .expect("nginx-sys names the version of nginx");
    compile_bits();
    // Since 1.23.0 repeated fields are linked by `next`; before, a few kinds had arrays.
    if version >= 1_023_000 {
        println!("cargo::rustc-cfg=nginx_linked_headers");
    }
}

/// The accessors of bit-fields, and what has other names in other versions.
fn compile_bits() {
    let sources =
        ["src/peers_bits.c", "src/request_bits.c", "src/request_body_bits.c", "src/ssl_bits.c", "src/variable_bits.c"];
    for source in sources {
        println!("cargo::rerun-if-changed={source}");
    }
    let includes = env::var_os("DEP_NGINX_INCLUDE").expect("nginx-sys names nginx's folders of headers");
    cc::Build::new().includes(env::split_paths(&includes)).files(sources).compile("ngx_bindings_bits");
}
