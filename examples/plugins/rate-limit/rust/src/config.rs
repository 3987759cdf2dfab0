//! The plugin's configuration.

use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Requests that pass in one window.
    pub count: u32,
    /// Seconds.
    pub time_window: u64,
    /// Status of the requests that do not.
    #[serde(default = "default_rejected_code")]
    pub rejected_code: u32,
    /// What is counted together.
    pub key: Option<String>,
}

fn default_rejected_code() -> u32 {
    503
}

impl Config {
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if config.count == 0 || config.time_window == 0 {
            return Err("count and time_window must be 1 or more".to_owned());
        }
        if !(200..=599).contains(&config.rejected_code) {
            return Err(format!("rejected_code {} is not from 200 to 599", config.rejected_code));
        }
        Ok(config)
    }

    /// The key of the count in the shared store.
    pub fn storage_key(&self) -> String {
        match &self.key {
            Some(key) => format!("rate-limit {key}"),
            None => format!("rate-limit {}/{}/{}", self.count, self.time_window, self.rejected_code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rejected_code_has_a_default() {
        let config = Config::parse(br#"{"count": 2, "time_window": 60}"#).unwrap();
        assert_eq!(config, Config { count: 2, time_window: 60, rejected_code: 503, key: None });
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for json in [
            "",
            "{}",
            r#"{"count": 0, "time_window": 1}"#,
            r#"{"count": 1, "time_window": 0}"#,
            r#"{"count": 1, "time_window": 1, "rejected_code": 100}"#,
            r#"{"count": 1, "time_window": 1, "burst": 1}"#,
        ] {
            assert!(Config::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
