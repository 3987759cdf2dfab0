//! Measures how long it takes until a plugin's instance can be called: restored from an image, and
//! started. What it says is processor time, in microseconds, because it is the kernel that maps the
//! memory.
//!
//!     restore PLUGIN.wasm [ROUNDS [CONFIGURATION [restored]]]
//!
//! With `restored` it does not measure instances that start.

use std::fs;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use proxy_wasm_host::local::{self, LocalHost, LocalStream};
use proxy_wasm_host::wasm::images::Images;
use proxy_wasm_host::{ImagePolicy, PluginContext, PluginOptions};

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock").into()
}

/// The least and the mean processor time of a step, in microseconds, over some rounds.
#[derive(Default)]
struct Times {
    least: Option<Duration>,
    all: Duration,
}

impl Times {
    fn add<R>(&mut self, step: impl FnOnce() -> R) -> R {
        let begun = processor_time();
        let result = step();
        let took = processor_time().saturating_sub(begun);
        self.all += took;
        self.least = Some(self.least.map_or(took, |least| least.min(took)));
        result
    }

    /// Says the mean and the least, without what asking the clock takes.
    fn say(&self, what: &str, rounds: u32, clock: Duration) {
        let micros = |time: Duration| time.saturating_sub(clock).as_secs_f64() * 1e6;
        println!("{what} {:.2} {:.2}", micros(self.all / rounds), micros(self.least.unwrap_or_default()));
    }
}

/// What asking the clock takes at least: it is a system call.
fn clock() -> Duration {
    let mut nothing = Times::default();
    (0..1000).for_each(|_| nothing.add(|| ()));
    nothing.least.unwrap_or_default()
}

fn request(context: &Rc<PluginContext<LocalHost>>) {
    let headers =
        [(":method", "GET"), (":path", "/some/where"), (":authority", "www.example.com"), (":scheme", "https")];
    let _ = context.http_context().receive(LocalStream::with_headers(&headers), headers.len() as u32, true);
}

fn measure(what: &str, image: ImagePolicy, (path, rounds, configuration): (&str, u32, &str)) {
    let options = PluginOptions { image, ..PluginOptions::default() };
    let wasm = fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let plugin = local::plugin(&wasm, options).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (_host, vm) = local::vm(plugin);
    vm.keep_images(Images::new().expect("a file in memory"), Vec::new());
    let context = vm.plugin_context(configuration.as_bytes().into());
    context.start().expect("a plugin that starts");
    vm.keep_image();
    let (mut ready, mut first, mut next, mut end) =
        (Times::default(), Times::default(), Times::default(), Times::default());
    for _ in 0..rounds {
        vm.renew();
        // Starts may take a tenth of the time only.
        if let Some(wait) = vm.status().and_then(|status| status.retry_in) {
            thread::sleep(wait);
        }
        ready.add(|| context.start().expect("a plugin that starts"));
        first.add(|| request(&context));
        next.add(|| request(&context));
        end.add(|| vm.renew());
    }
    let status = vm.image_status().expect("images");
    println!("{what}: {status:?}");
    let clock = clock();
    ready.say(&format!("{what}.ready"), rounds, clock);
    first.say(&format!("{what}.first"), rounds, clock);
    next.say(&format!("{what}.next"), rounds, clock);
    end.say(&format!("{what}.end"), rounds, clock);
}

fn main() {
    let arguments: Vec<_> = std::env::args().filter(|argument| argument != "--bench").collect();
    let Some(path) = arguments.get(1) else { return };
    let rounds = arguments.get(2).map_or(2000, |rounds| rounds.parse().expect("a number"));
    let configuration = arguments.get(3).map_or("conf", String::as_str);
    measure("restored", ImagePolicy::On, (path, rounds, configuration));
    if arguments.get(4).is_none() {
        measure("started", ImagePolicy::Off, (path, rounds.min(200), configuration));
    }
}
