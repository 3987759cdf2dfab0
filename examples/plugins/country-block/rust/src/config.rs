//! The plugin's configuration.

use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file, at the path at which the plugin finds it.
    pub database: String,
    /// The countries whose requests are refused.
    pub deny: Vec<String>,
    /// Whether requests are refused whose address is of no known network.
    #[serde(default)]
    pub deny_unknown: bool,
    /// Status of the answer.
    #[serde(default = "forbidden")]
    pub status: u32,
    /// Milliseconds from one look at the file to the next.
    #[serde(default = "ten_seconds")]
    pub reload: u64,
    /// The header of a request that has the client's address, in place of the connection.
    pub address_header: Option<String>,
}

fn forbidden() -> u32 {
    403
}

fn ten_seconds() -> u64 {
    10_000
}

impl Config {
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let config: Self = configuration::parse(json)?;
        if !(200..=599).contains(&config.status) {
            return Err(format!("status {} is not from 200 to 599", config.status));
        }
        if config.reload == 0 || config.reload > u64::from(u32::MAX) {
            return Err("reload must be from 1 to 4294967295 milliseconds".to_owned());
        }
        Ok(config)
    }

    /// Whether requests from there are refused.
    pub fn refuses(&self, country: Option<&str>) -> bool {
        country.map_or(self.deny_unknown, |country| self.deny.iter().any(|denied| denied == country))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_has_a_default() {
        let config = Config::parse(br#"{"database": "/geo/x.csv", "deny": ["XA"]}"#).unwrap();
        assert_eq!((config.status, config.reload, config.deny_unknown), (403, 10_000, false));
        assert!(config.refuses(Some("XA")) && !config.refuses(Some("XB")) && !config.refuses(None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for json in [
            "",
            "{}",
            r#"{"database": "x"}"#,
            r#"{"database": "x", "deny": [], "status": 1}"#,
            r#"{"database": "x", "deny": [], "reload": 0}"#,
            r#"{"database": "x", "deny": [], "allow": []}"#,
        ] {
            assert!(Config::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
