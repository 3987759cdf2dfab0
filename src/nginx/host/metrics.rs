//! Spec, "Metrics"; and what the module counts itself.

use super::NginxHost;
use crate::proxy_wasm::abi::MetricType;
use crate::proxy_wasm::host::{Metrics, Result};
use crate::shared::metrics::Kind;

impl Metrics for NginxHost {
    fn define_metric(&mut self, kind: MetricType, name: &[u8]) -> Result<u32> {
        let kind = match kind {
            MetricType::Counter => Kind::Counter,
            MetricType::Gauge => Kind::Gauge,
            MetricType::Histogram => Kind::Histogram,
        };
        Ok(self.shared.get()?.metrics.define(self.plugin.as_bytes(), kind, name)?)
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
