//! Counts, keeps and queues what all workers share, as the request's path says:
//!
//! | path | |
//! |---|---|
//! | `/hit` | adds 1 to the counter `hits` |
//! | `/cas` | adds 1 to the key `n` by compare and swap, until it is not beaten to it |
//! | `/churn` | adds 1 to each of 100 keys of very different sizes, and puts and takes as many items |
//! | `/put/N` | puts the item N in the queue |
//! | `/left` | how many items of the queue nobody was given yet |
//! | `/get/KEY` | the number at a key |
//!
//! A value is a number, filling and a checksum of both. A value whose checksum is wrong is answered by 500 `torn`. Each item that
//! `on_queue_ready` takes adds 1 to the gauge `taken`, and 1 to `doubled` if it was taken before.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Plugin { metrics: Metrics::default() }));
}}

/// No value has this number, so setting with it makes a key only if it is new.
const NEW: Option<u32> = Some(u32::MAX);

#[derive(Clone, Copy, Default)]
struct Metrics {
    hits: u32,
    taken: u32,
    doubled: u32,
    queue: u32,
}

struct Plugin {
    metrics: Metrics,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let define = |kind, name| hostcalls::define_metric(kind, name).expect("a metric");
        self.metrics = Metrics {
            hits: define(MetricType::Counter, "hits"),
            taken: define(MetricType::Gauge, "taken"),
            doubled: define(MetricType::Gauge, "doubled"),
            queue: self.register_shared_queue("items"),
        };
        true
    }

    fn on_queue_ready(&mut self, queue: u32) {
        if let Ok(Some(item)) = self.dequeue_shared_queue(queue) {
            let key = format!("item {}", String::from_utf8_lossy(&item));
            if hostcalls::set_shared_data(&key, None, NEW).is_err() {
                hostcalls::increment_metric(self.metrics.doubled, 1).expect("a gauge");
            }
            hostcalls::increment_metric(self.metrics.taken, 1).expect("a gauge");
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { metrics: self.metrics }))
    }
}

struct Request {
    metrics: Metrics,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let (status, body) = match self.answer(&path) {
            Ok(body) => (200, body),
            Err(reason) => (500, reason.to_owned()),
        };
        self.send_http_response(status, vec![], Some(format!("{body}\n").as_bytes()));
        Action::Pause
    }
}

impl Request {
    fn answer(&self, path: &str) -> Result<String, &'static str> {
        let (what, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
        match what {
            "hit" => {
                hostcalls::increment_metric(self.metrics.hits, 1).expect("a counter");
                Ok(hostcalls::get_metric(self.metrics.hits).expect("a counter").to_string())
            }
            "cas" => self.add("n", 40),
            "churn" => {
                let now = hostcalls::get_current_time().expect("a clock");
                let now = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_micros() as usize);
                for n in (now..now + 100).map(|n| n % 100) {
                    self.add(&format!("churn-{n}"), n * n)?;
                    // A full queue is no fault here.
                    let _ = self.enqueue_shared_queue(self.metrics.queue, Some(&value(0, n)));
                    let _ = self.dequeue_shared_queue(self.metrics.queue);
                }
                Ok("churned".to_owned())
            }
            "put" => match self.enqueue_shared_queue(self.metrics.queue, Some(rest.as_bytes())) {
                Ok(()) => Ok("put".to_owned()),
                Err(_) => Err("not put"),
            },
            "left" => Ok(match self.dequeue_shared_queue(self.metrics.queue) {
                Ok(None) => "none".to_owned(),
                _ => "some".to_owned(),
            }),
            "get" => Ok(self.read(rest)?.map_or("none".to_owned(), |(n, _)| n.to_string())),
            _ => Err("what?"),
        }
    }

    /// Adds 1 to a number, whoever else does.
    fn add(&self, key: &str, filling: usize) -> Result<String, &'static str> {
        loop {
            let (n, cas) = match self.read(key)? {
                Some((n, cas)) => (n + 1, Some(cas)),
                None => (1, NEW),
            };
            match self.set_shared_data(key, Some(&value(n, filling)), cas) {
                Ok(()) => return Ok(n.to_string()),
                Err(Status::CasMismatch) => {}
                Err(_) => return Err("not set"),
            }
        }
    }

    /// The number at a key, and its CAS number.
    fn read(&self, key: &str) -> Result<Option<(u64, u32)>, &'static str> {
        let (Some(bytes), Some(cas)) = self.get_shared_data(key) else { return Ok(None) };
        let (content, sum) = bytes.split_last_chunk::<8>().ok_or("torn")?;
        let (n, _) = content.split_first_chunk::<8>().ok_or("torn")?;
        if u64::from_le_bytes(*sum) != checksum(content) {
            return Err("torn");
        }
        Ok(Some((u64::from_le_bytes(*n), cas)))
    }
}

/// A number, as many bytes of filling, and a checksum.
fn value(n: u64, filling: usize) -> Vec<u8> {
    let mut value = n.to_le_bytes().to_vec();
    value.extend((0..filling).map(|at| (at as u64 ^ n) as u8));
    let sum = checksum(&value);
    value.extend(sum.to_le_bytes());
    value
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
