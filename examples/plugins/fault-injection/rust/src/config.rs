//! The configuration: which answer, and for how many requests.

use serde::Deserialize;

#[derive(Debug, Default, PartialEq)]
pub struct Config {
    pub http_status: u32,
    pub body: Option<String>,
    /// Share of the requests to answer, 0 to 100.
    pub percentage: i64,
}

/// As written by the operator: any number may stand where we want a small one, so that the check below can name it.
#[derive(Deserialize)]
struct Written {
    http_status: i64,
    body: Option<String>,
    #[serde(default = "always")]
    percentage: i64,
}

fn always() -> i64 {
    100
}

impl Config {
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let written: Written = configuration::parse(json)?;

        let http_status = u32::try_from(written.http_status)
            .ok()
            .filter(|status| (200..=599).contains(status))
            .ok_or_else(|| format!("bad http_status {}: want 200 to 599", written.http_status))?;

        if !(0..=100).contains(&written.percentage) {
            return Err(format!("bad percentage {}: want 0 to 100", written.percentage));
        }

        Ok(Self { http_status, body: written.body, percentage: written.percentage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(json: &str) -> String {
        Config::parse(json.as_bytes()).unwrap_err()
    }

    #[test]
    fn every_request_gets_the_answer_unless_a_percentage_is_given() {
        let config = Config::parse(br#"{"http_status":401,"body":"HIT\n"}"#).unwrap();
        assert_eq!(config.http_status, 401);
        assert_eq!(config.body.as_deref(), Some("HIT\n"));
        assert_eq!(config.percentage, 100);
    }

    #[test]
    fn the_body_is_optional() {
        let config = Config::parse(br#"{"http_status":503,"percentage":0}"#).unwrap();
        assert_eq!(config.body, None);
        assert_eq!(config.percentage, 0);
    }

    #[test]
    fn a_newline_may_stand_in_the_body() {
        let config = Config::parse(b"{\n\"http_status\": 401, \"body\": \"\\\"HIT\\\"\n\"}").unwrap();
        assert_eq!(config.body.as_deref(), Some("\"HIT\"\n"));
    }

    #[test]
    fn what_is_refused_is_named() {
        assert!(reason("").starts_with("bad configuration: EOF"));
        assert!(reason("{}").contains("missing field `http_status`"));
        assert_eq!(reason(r#"{"http_status":199}"#), "bad http_status 199: want 200 to 599");
        assert_eq!(reason(r#"{"http_status":600}"#), "bad http_status 600: want 200 to 599");
        assert_eq!(reason(r#"{"http_status":401,"percentage":-1}"#), "bad percentage -1: want 0 to 100");
        assert_eq!(reason(r#"{"http_status":401,"percentage":101}"#), "bad percentage 101: want 0 to 100");
    }
}
