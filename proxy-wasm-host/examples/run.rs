//! Runs one plugin on one made-up request: `cargo run --example run -- plugin.wasm [configuration]`.

use std::error::Error;
use std::sync::Arc;

use proxy_wasm_host::abi::MapType;
use proxy_wasm_host::local::{self, LocalStream};
use proxy_wasm_host::{Action, PluginOptions};

const REQUEST: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "/")];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: run PLUGIN.wasm [CONFIGURATION]")?;
    let configuration = arguments.next().unwrap_or_default();

    // Without a clock, a plugin that loops would never return.
    local::engine().start_ticker()?;
    let (host, vm) = local::vm(local::plugin(&std::fs::read(file)?, PluginOptions::default())?);
    let context = vm.plugin_context(Arc::from(configuration.as_bytes()));
    context.start()?;

    let stream = LocalStream::with_headers(&REQUEST);
    let http = context.create_http_context(stream.clone())?;
    let action = http.on_request_headers(REQUEST.len() as u32, true)?;
    for (name, value) in &stream.request().maps[&MapType::HttpRequestHeaders] {
        println!("{}: {}", name.escape_ascii(), value.escape_ascii());
    }
    if action == Action::Pause {
        println!("The plugin paused the request.");
    }
    http.finish();
    for (level, message) in &host.worker().log {
        println!("{level:?}: {message}");
    }
    Ok(())
}
