//! Gives each request that has no `x-request-id` one, and the response the same.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

const NAME: &str = "x-request-id";

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_http_context(|_, _| Box::new(Request::default()));
    seed();
}}

/// The host calls this in each instance that was restored from an image. Its generator is in the
/// state that it had in the image, as in every other one.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_wasm_on_restored() {
    seed();
}

/// Seeds the generator with random numbers of the host's.
fn seed() {
    let mut seed = [0; 8];
    // SAFETY: WASI writes so many bytes there, and nothing else.
    if unsafe { random_get(seed.as_mut_ptr(), seed.len()) } == 0 {
        fastrand::seed(u64::from_le_bytes(seed));
    }
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u16;
}

#[derive(Default)]
struct Request {
    id: String,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.id = match self.get_http_request_header_bytes(NAME) {
            Some(id) => String::from_utf8_lossy(&id).into_owned(),
            None => {
                let id = format!("{:032x}", fastrand::u128(..));
                self.set_http_request_header(NAME, Some(&id));
                id
            }
        };
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.set_http_response_header(NAME, Some(&self.id));
        Action::Continue
    }
}
