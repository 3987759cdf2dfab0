//! The plugin configuration, parsed. Faults are found here, so that `proxy_on_configure` refuses a script with a typo.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{callbacks, ops};

#[derive(Default)]
pub struct Script {
    /// Log a line for each callback.
    pub trace: bool,
    steps: HashMap<String, Vec<Step>>,
}

pub enum Step {
    Call(Call),
    If {
        condition: Condition,
        then: Vec<Step>,
        otherwise: Vec<Step>,
    },
    /// Ends the callback with this result.
    Return(Value),
    /// Keeps a text under a name.
    Set(String, Value),
}

pub struct Call {
    pub op: ops::Op,
    pub name: String,
    pub args: Vec<Value>,
    /// Map and header that get the result.
    pub to: Option<(String, String)>,
    /// Variable that gets the result.
    pub keep: Option<String>,
    /// Log no line.
    pub quiet: bool,
}

pub enum Condition {
    /// A map has this header, with this value if one is given.
    Header {
        map: u32,
        name: String,
        value: Option<Value>,
    },
    Equal(Value, Value),
    Contains(Value, Value),
    Not(Box<Condition>),
}

type Result<T> = std::result::Result<T, String>;

impl Script {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let json = serde_json::from_slice(&escape_newlines(bytes)).map_err(|e| e.to_string())?;
        let Value::Object(members) = json else {
            return Err("not a JSON object".into());
        };
        let mut script = Self::default();
        for (key, value) in members {
            if key == "trace" {
                script.trace = value == true;
            } else if callbacks::NAMES.contains(&key.as_str()) {
                let parsed = steps(value).map_err(|e| format!("{key}: {e}"))?;
                script.steps.insert(key, parsed);
            } else {
                return Err(format!("there is no callback {key}"));
            }
        }
        Ok(script)
    }

    pub fn steps(&self, callback: &str) -> &[Step] {
        self.steps.get(callback).map_or(&[], Vec::as_slice)
    }
}

/// `\n` in nginx.conf is a newline by the time it gets here, and JSON wants none within a string.
fn escape_newlines(json: &[u8]) -> Vec<u8> {
    let (mut in_string, mut after_backslash) = (false, false);
    let mut escaped = Vec::with_capacity(json.len());
    for &byte in json {
        match byte {
            b'\n' if in_string => escaped.extend(b"\\n"),
            b'\r' if in_string => escaped.extend(b"\\r"),
            b'\t' if in_string => escaped.extend(b"\\t"),
            _ => escaped.push(byte),
        }
        in_string ^= byte == b'"' && !after_backslash;
        after_backslash = byte == b'\\' && !after_backslash;
    }
    escaped
}

fn steps(value: Value) -> Result<Vec<Step>> {
    match value {
        Value::Array(steps) => steps.into_iter().map(step).collect(),
        other => Err(format!("a list of steps is wanted, not {other}")),
    }
}

fn step(value: Value) -> Result<Step> {
    match value {
        Value::Array(words) => {
            let mut words = words.into_iter();
            let name = words.next().ok_or("an empty step")?;
            call(text(name)?, words.collect(), Map::new())
        }
        Value::Object(mut members) if members.contains_key("if") => Ok(Step::If {
            condition: condition(members.remove("if").unwrap_or_default())?,
            then: steps(members.remove("then").ok_or("if without then")?)?,
            otherwise: members.remove("else").map_or(Ok(Vec::new()), steps)?,
        }),
        Value::Object(mut members) => {
            let name = text(members.remove("op").ok_or("a step without op")?)?;
            let args = list(members.remove("args").unwrap_or(Value::Array(Vec::new())))?;
            call(name, args, members)
        }
        other => Err(format!("a step is a list or an object, not {other}")),
    }
}

fn call(name: String, mut args: Vec<Value>, mut members: Map<String, Value>) -> Result<Step> {
    match (name.as_str(), args.len()) {
        ("return", 1) => return Ok(Step::Return(args.remove(0))),
        ("set", 2) => return Ok(Step::Set(text(args.remove(0))?, args.remove(0))),
        ("return" | "set", _) => return Err(format!("{name} with {} arguments", args.len())),
        _ => {}
    }
    let step = Call {
        op: ops::find(&name).ok_or_else(|| format!("there is no step {name}"))?,
        name,
        args,
        to: members.remove("to").map(header).transpose()?,
        keep: members.remove("as").map(text).transpose()?,
        quiet: members.remove("quiet") == Some(Value::Bool(true)),
    };
    match members.keys().next() {
        Some(key) => Err(format!("{}: there is no {key} of a step", step.name)),
        None => Ok(Step::Call(step)),
    }
}

fn condition(value: Value) -> Result<Condition> {
    let mut words = list(value)?.into_iter();
    let kind = text(words.next().ok_or("an empty condition")?)?;
    let mut next = |what| words.next().ok_or(format!("{kind} without {what}"));
    let condition = match kind.as_str() {
        "request_header" => Condition::Header { map: 0, name: text(next("name")?)?, value: next("").ok() },
        "response_header" => Condition::Header { map: 2, name: text(next("name")?)?, value: next("").ok() },
        "eq" => Condition::Equal(next("operand")?, next("operand")?),
        "contains" => Condition::Contains(next("text")?, next("part")?),
        "not" => Condition::Not(Box::new(condition(next("condition")?)?)),
        _ => return Err(format!("there is no condition {kind}")),
    };
    match words.next() {
        Some(word) => Err(format!("{kind}: {word} is too much")),
        None => Ok(condition),
    }
}

fn text(value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("a text is wanted, not {other}")),
    }
}

fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(format!("a list is wanted, not {other}")),
    }
}

fn header(value: Value) -> Result<(String, String)> {
    match <[Value; 2]>::try_from(list(value)?) {
        Ok([map, name]) => Ok((text(map)?, text(name)?)),
        Err(_) => Err("to is [map, header]".into()),
    }
}
