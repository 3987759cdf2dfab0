//! A callback's steps, carried out.

use std::rc::Rc;

use crate::args::{Args, Data};
use crate::memory::{Returned, address};
use crate::outcome::Outcome;
use crate::script::{Call, Condition, Script, Step};
use crate::show::shown;
use crate::{abi::common as host, contexts, names};

const INFO: u32 = 2;

/// One callback in one context.
pub struct Frame {
    pub id: u32,
    pub plugin_id: u32,
    pub callback: &'static str,
    /// The callback's arguments by name.
    pub parameters: Vec<(&'static str, String)>,
    pub count: u32,
    pub last: Vec<u8>,
    pub status: String,
    /// The lines logged so far.
    pub report: Vec<u8>,
}

impl Frame {
    pub fn new(callback: &'static str, id: u32, parameters: Vec<(&'static str, String)>) -> Self {
        Self {
            id,
            plugin_id: contexts::plugin_of(id),
            callback,
            parameters,
            count: contexts::count(id, callback),
            last: Vec::new(),
            status: String::new(),
            report: Vec::new(),
        }
    }

    /// What the script returns, if it does.
    pub fn run(&mut self, script: &Rc<Script>) -> Option<String> {
        if script.trace {
            let values: Vec<_> = self.parameters.iter().map(|(_, value)| value.as_str()).collect();
            let line = [self.callback, &self.id.to_string()].into_iter().chain(values).collect::<Vec<_>>().join(" ");
            log(INFO, line.as_bytes());
        }
        self.steps(script.steps(self.callback))
    }

    fn steps(&mut self, steps: &[Step]) -> Option<String> {
        for step in steps {
            match step {
                Step::Call(call) => self.call(call),
                Step::Set(name, value) => contexts::set_variable(self.plugin_id, name, self.bytes(value)),
                Step::Return(value) => return Some(self.text(value)),
                Step::If { condition, then, otherwise } => {
                    let branch = if self.holds(condition) { then } else { otherwise };
                    if let Some(result) = self.steps(branch) {
                        return Some(result);
                    }
                }
            }
        }
        None
    }

    fn call(&mut self, call: &Call) {
        let args = Args(call.args.iter().map(|arg| self.arg(arg)).collect());
        let outcome = (call.op)(&args, self);
        let result = outcome.value.clone().unwrap_or_else(|| outcome.status.clone().into());
        if !call.quiet {
            self.report_line(&call.name, &args, &outcome);
        }
        self.status = outcome.status;
        self.last = outcome.value.unwrap_or_default();
        if let Some(name) = &call.keep {
            contexts::set_variable(self.plugin_id, name, result.clone());
        }
        if let Some((map, name)) = &call.to {
            self.to_header(map, name, result);
        }
    }

    /// `op args -> STATUS value`
    fn report_line(&mut self, name: &str, args: &Args, outcome: &Outcome) {
        let mut line = name.as_bytes().to_vec();
        for arg in &args.0 {
            line.push(b' ');
            line.extend(shown(&arg.show()));
        }
        line.extend(b" -> ");
        line.extend(outcome.status.as_bytes());
        if let Some(value) = &outcome.value {
            line.push(b' ');
            line.extend(shown(value));
        }
        log(INFO, &line);
        self.report.extend(line);
        self.report.push(b'\n');
    }

    fn to_header(&self, map: &str, name: &str, value: Vec<u8>) {
        let number = names::number(names::MAPS, map).unwrap_or_else(|| panic!("there is no map {map}"));
        let (key, value) = (Data(name.into()), Data(value));
        let status =
            host::proxy_replace_header_map_value(number, key.address(), key.size(), value.address(), value.size());
        if status != 0 {
            log(INFO, format!("to {map} {name} -> {}", names::status(status)).as_bytes());
        }
    }

    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Header { map, name, value } => match header(*map, name) {
                Some(found) => value.as_ref().is_none_or(|value| self.bytes(value) == found),
                None => false,
            },
            Condition::Equal(a, b) => self.bytes(a) == self.bytes(b),
            Condition::Contains(text, part) => {
                let (text, part) = (self.bytes(text), self.bytes(part));
                part.is_empty() || text.windows(part.len()).any(|window| window == part)
            }
            Condition::Not(condition) => !self.holds(condition),
        }
    }
}

pub fn log(level: u32, line: &[u8]) {
    host::proxy_log(level, address(line.as_ptr()), line.len() as u32);
}

fn header(map: u32, name: &str) -> Option<Vec<u8>> {
    let (key, returned) = (Data(name.into()), Returned::default());
    let (data, size) = (returned.data.address(), returned.size.address());
    let status = host::proxy_get_header_map_value(map, key.address(), key.size(), data, size);
    (status == 0).then(|| returned.take())
}
