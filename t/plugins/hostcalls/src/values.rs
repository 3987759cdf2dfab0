//! From a script's JSON to texts and maps: the forms of arguments, and placeholders.

use serde_json::Value;

use crate::args::{Arg, parse};
use crate::contexts;
use crate::pairs::Pairs;
use crate::run::Frame;

impl Frame {
    pub fn arg(&self, value: &Value) -> Arg {
        match value {
            Value::Array(pairs) => Arg::Pairs(self.pairs(pairs)),
            other => Arg::Bytes(self.bytes(other)),
        }
    }

    fn pairs(&self, pairs: &[Value]) -> Pairs {
        let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
            Some([name, value]) => (self.bytes(name), self.bytes(value)),
            _ => panic!("a pair is [name, value], not {pair}"),
        };
        pairs.iter().map(pair).collect()
    }

    pub fn text(&self, value: &Value) -> String {
        String::from_utf8_lossy(&self.bytes(value)).into_owned()
    }

    pub fn bytes(&self, value: &Value) -> Vec<u8> {
        match value {
            Value::String(text) => self.expand(text),
            Value::Object(form) => match (form.get("hex"), form.get("repeat")) {
                (Some(hex), None) => unhex(&self.text(hex)),
                (None, Some(Value::Array(repeat))) => match repeat.as_slice() {
                    [text, count] => self.bytes(text).repeat(parse(&self.text(count)).expect("a count") as usize),
                    _ => panic!("repeat is [text, count]"),
                },
                _ => panic!("no such form of an argument: {value}"),
            },
            other => other.to_string().into(),
        }
    }

    /// Replaces every `${name}`.
    fn expand(&self, text: &str) -> Vec<u8> {
        let mut expanded = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').unwrap_or_else(|| panic!("no }} in {text}"));
            expanded.extend(before.as_bytes());
            expanded.extend(self.placeholder(name));
            rest = tail;
        }
        expanded.extend(rest.as_bytes());
        expanded
    }

    fn placeholder(&self, name: &str) -> Vec<u8> {
        if let Some((_, value)) = self.parameters.iter().find(|(parameter, _)| *parameter == name) {
            return value.clone().into();
        }
        match name {
            "callback" => self.callback.into(),
            "context_id" => self.id.to_string().into(),
            "plugin_id" => self.plugin_id.to_string().into(),
            "kind" => if self.id == self.plugin_id { "plugin" } else { "http" }.into(),
            "count" => self.count.to_string().into(),
            "last" => self.last.clone(),
            "status" => self.status.clone().into(),
            "report" => self.report.clone(),
            _ => contexts::variable(self.plugin_id, name)
                .unwrap_or_else(|| panic!("there is no ${{{name}}} in {}", self.callback)),
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(|i| digit(i).unwrap_or_else(|| panic!("{hex} is not hexadecimal"))).collect()
}
