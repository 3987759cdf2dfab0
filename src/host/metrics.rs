//! Spec, "Metrics", and the metrics that the module itself counts.

use proxy_wasm_host::abi::MetricType;
use proxy_wasm_host::host::{Metrics, Result};
use proxy_wasm_host::shared::metrics::Kind;

use crate::context::NginxHost;

impl Metrics for NginxHost {
    fn define_metric(&mut self, kind: MetricType, name: &[u8]) -> Result<u32> {
        let kind = match kind {
            MetricType::Counter => Kind::Counter,
            MetricType::Gauge => Kind::Gauge,
            MetricType::Histogram => Kind::Histogram,
        };
        let metrics = &self.shared.get()?.metrics;
        Ok(metrics.define(self.plugin.as_bytes(), self.definer.get(), kind, name)?)
    }

    fn metric(&mut self, id: u32) -> Result<u64> {
        Ok(self.shared.get()?.metrics.get(self.plugin.as_bytes(), id)?)
    }

    fn record_metric(&mut self, id: u32, value: u64) -> Result {
        Ok(self.shared.get()?.metrics.record(self.plugin.as_bytes(), id, value)?)
    }

    fn increment_metric(&mut self, id: u32, offset: i64) -> Result {
        Ok(self.shared.get()?.metrics.increment(self.plugin.as_bytes(), id, offset)?)
    }
}
