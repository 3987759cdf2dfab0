//! The options of a plugin: limits and policy. Each can be set by a directive of `http`, and by
//! `option=value` of `wasm_plugin`.

use std::time::Duration;

use super::directory::Directory;
use super::units::{parse_size, parse_time};
use super::{Error, Result};
use crate::limits::plugin;

/// What happens to a request when its plugin fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The request is answered 503.
    #[default]
    Closed,
    /// The request continues without the plugin.
    Open,
}

/// What happens to nginx's start, or its reload, when a plugin does not start, or refuses its
/// configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFailure {
    /// Nginx starts. The plugin's requests get what `wasm_failure` says, until it starts.
    #[default]
    Serve,
    /// Nginx does not start: the plugin is tried while the configuration is read.
    Refuse,
}

/// Whether an instance that has started is kept as an image, from which others are restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImagePolicy {
    /// If the plugin drew no random numbers while it started: instances that are restored would all
    /// have the same.
    #[default]
    Auto,
    /// Also if it did.
    On,
    /// Never.
    Off,
}

/// Who shares an instance of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All requests of a worker.
    #[default]
    Worker,
    /// Nobody: each request has an instance of its own.
    Request,
}

/// What waits when a plugin pauses in the headers of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseScope {
    /// The whole message.
    All,
    /// The headers. The body goes on arriving at the plugin.
    Headers,
}

/// What resumes a message that a plugin holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// The plugin.
    #[default]
    Plugin,
    /// Also the answer of the last call that the plugin has made.
    Calls,
}

/// The limits and the policy of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most linear memory that an instance may have, in bytes.
    pub memory_limit: usize,
    /// The most memory that a worker keeps for the plugin outside its linear memory, in bytes.
    pub host_memory: usize,
    /// How long a callback may run; `None` for no limit.
    pub callback_timeout: Option<Duration>,
    /// How long start and configuration may run; `None` for no limit.
    pub start_timeout: Option<Duration>,
    /// What happens to a request when the plugin fails.
    pub failure: FailurePolicy,
    /// What happens to nginx's start when the plugin does not start.
    pub start_failure: StartFailure,
    /// The most that is kept of a body for a paused plugin, in bytes.
    pub body_buffer_size: usize,
    /// All environment variables that the plugin sees.
    pub env: Vec<(String, String)>,
    /// The host functions the plugin may use; `None` for all.
    pub capabilities: Option<Vec<String>>,
    /// Whether instances that have started are kept as images.
    pub image: ImagePolicy,
    /// Who shares an instance.
    pub isolation: Isolation,
    /// The directories that the plugin may use.
    pub directories: Vec<Directory>,
    /// What waits when the plugin pauses in headers; `None` if the plugin's ABI decides.
    pub pause: Option<PauseScope>,
    /// What resumes a message that the plugin holds.
    pub resume: Resume,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_limit: plugin::MEMORY,
            host_memory: plugin::HOST_MEMORY,
            callback_timeout: Some(plugin::CALLBACK_TIMEOUT),
            start_timeout: Some(plugin::START_TIMEOUT),
            failure: FailurePolicy::default(),
            start_failure: StartFailure::default(),
            body_buffer_size: plugin::BODY_BUFFER,
            env: Vec::new(),
            capabilities: None,
            image: ImagePolicy::default(),
            isolation: Isolation::default(),
            directories: Vec::new(),
            pause: None,
            resume: Resume::default(),
        }
    }
}

/// A timeout that may be switched off; an outer `None` means that it is not set here.
type TimeoutOverride = Option<Option<Duration>>;

/// The [`Options`] that one level of the configuration sets: `http`, or one `wasm_plugin` line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    memory_limit: Option<usize>,
    host_memory: Option<usize>,
    callback_timeout: TimeoutOverride,
    start_timeout: TimeoutOverride,
    failure: Option<FailurePolicy>,
    start_failure: Option<StartFailure>,
    body_buffer_size: Option<usize>,
    env: Vec<(String, String)>,
    capabilities: Option<Vec<String>>,
    image: Option<ImagePolicy>,
    isolation: Option<Isolation>,
    directories: Vec<Directory>,
    pause: Option<PauseScope>,
    resume: Option<Resume>,
}

impl Overrides {
    /// Sets one option by its name in `wasm_plugin`; the directive in `http` is the same name after
    /// `wasm_`.
    ///
    /// # Errors
    /// When there is no such option, the option is set already, or the value does not fit it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "memory_limit" => once(&mut self.memory_limit, name, parse_size(value)?),
            "host_memory" => once(&mut self.host_memory, name, parse_size(value)?),
            "callback_timeout" => once(&mut self.callback_timeout, name, parse_timeout(value)?),
            "start_timeout" => once(&mut self.start_timeout, name, parse_timeout(value)?),
            "failure" => once(&mut self.failure, name, parse_failure(value)?),
            "start_failure" => once(&mut self.start_failure, name, parse_start_failure(value)?),
            "body_buffer_size" => once(&mut self.body_buffer_size, name, parse_size(value)?),
            "env" => add_variable(&mut self.env, value),
            "capabilities" => once(&mut self.capabilities, name, parse_list(value)),
            "image" => once(&mut self.image, name, parse_image(value)?),
            "isolation" => once(&mut self.isolation, name, parse_isolation(value)?),
            "dir" => Directory::parse(value)?.add_to(&mut self.directories),
            "pause" => once(&mut self.pause, name, parse_pause(value)?),
            "resume" => once(&mut self.resume, name, parse_resume(value)?),
            _ => Err(Error::new(format!(
                "has no option \"{name}\"; there are priority, phase, root_id, vm, vm_config, vm_config_file, memory_limit, host_memory, \
                 callback_timeout, start_timeout, failure, start_failure, body_buffer_size, env, capabilities, image, isolation, \
                 pause, resume and dir"
            ))),
        }
    }

    /// The directories, which are set for one plugin only.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// Does the same as [`Self::directories`], to change them.
    pub fn directories_mut(&mut self) -> &mut [Directory] {
        &mut self.directories
    }

    /// Returns the options of the level above, overridden by these. Only `env` adds up: a name that
    /// is set here hides the same name above.
    pub fn over(&self, above: &Options) -> Options {
        let inherited = above.env.iter().filter(|(name, _)| !self.env.iter().any(|(ours, _)| ours == name));
        Options {
            memory_limit: self.memory_limit.unwrap_or(above.memory_limit),
            host_memory: self.host_memory.unwrap_or(above.host_memory),
            callback_timeout: self.callback_timeout.unwrap_or(above.callback_timeout),
            start_timeout: self.start_timeout.unwrap_or(above.start_timeout),
            failure: self.failure.unwrap_or(above.failure),
            start_failure: self.start_failure.unwrap_or(above.start_failure),
            body_buffer_size: self.body_buffer_size.unwrap_or(above.body_buffer_size),
            env: inherited.chain(&self.env).cloned().collect(),
            capabilities: self.capabilities.clone().or_else(|| above.capabilities.clone()),
            image: self.image.unwrap_or(above.image),
            isolation: self.isolation.unwrap_or(above.isolation),
            directories: self.directories.clone(),
            pause: self.pause.or(above.pause),
            resume: self.resume.unwrap_or(above.resume),
        }
    }

    /// Returns whether this level switches the deadline of callbacks off. Switched off in `http`,
    /// it lets the engine compile without deadline checks.
    pub fn callback_timeout_is_off(&self) -> bool {
        self.callback_timeout == Some(None)
    }
}

/// Sets an option, and refuses a second value, as nginx does for directives and parameters.
fn once<T>(option: &mut Option<T>, name: &str, value: T) -> Result<()> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(format!("sets \"{name}\" twice"))),
    }
}

fn parse_timeout(value: &str) -> Result<Option<Duration>> {
    match value {
        "off" => Ok(None),
        _ => match parse_time(value)? {
            Duration::ZERO => Err(Error::new("a timeout of 0 fails every callback; write off for no timeout")),
            time => Ok(Some(time)),
        },
    }
}

fn parse_failure(value: &str) -> Result<FailurePolicy> {
    match value {
        "closed" => Ok(FailurePolicy::Closed),
        "open" => Ok(FailurePolicy::Open),
        _ => Err(Error::new(format!("\"{value}\" is not a failure policy; write closed or open"))),
    }
}

fn parse_start_failure(value: &str) -> Result<StartFailure> {
    match value {
        "serve" => Ok(StartFailure::Serve),
        "refuse" => Ok(StartFailure::Refuse),
        _ => Err(Error::new(format!("\"{value}\" is not a policy for starts that fail; write refuse or serve"))),
    }
}

fn parse_image(value: &str) -> Result<ImagePolicy> {
    match value {
        "auto" => Ok(ImagePolicy::Auto),
        "on" => Ok(ImagePolicy::On),
        "off" => Ok(ImagePolicy::Off),
        _ => Err(Error::new(format!("\"{value}\" is not a value of image; write auto, on or off"))),
    }
}

fn parse_isolation(value: &str) -> Result<Isolation> {
    match value {
        "worker" => Ok(Isolation::Worker),
        "request" => Ok(Isolation::Request),
        _ => Err(Error::new(format!("\"{value}\" is not an isolation; write worker or request"))),
    }
}

fn parse_pause(value: &str) -> Result<PauseScope> {
    match value {
        "all" => Ok(PauseScope::All),
        "headers" => Ok(PauseScope::Headers),
        _ => Err(Error::new(format!("\"{value}\" is not a value of pause; write all or headers"))),
    }
}

fn parse_resume(value: &str) -> Result<Resume> {
    match value {
        "plugin" => Ok(Resume::Plugin),
        "calls" => Ok(Resume::Calls),
        _ => Err(Error::new(format!("\"{value}\" is not a value of resume; write plugin or calls"))),
    }
}

fn add_variable(env: &mut Vec<(String, String)>, value: &str) -> Result<()> {
    match value.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            env.retain(|(known, _)| known != name);
            env.push((name.to_owned(), value.to_owned()));
            Ok(())
        }
        _ => Err(Error::new(format!("\"{value}\" is not an environment variable; write NAME=VALUE"))),
    }
}

/// Reads names separated by commas; an empty list allows nothing.
fn parse_list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(options: &[(&str, &str)]) -> Result<Overrides> {
        let mut overrides = Overrides::default();
        options.iter().try_for_each(|(name, value)| overrides.set(name, value)).map(|()| overrides)
    }

    #[test]
    fn what_is_not_set_is_inherited() {
        let http = overrides(&[("memory_limit", "64m"), ("failure", "open")]).unwrap().over(&Options::default());
        let plugin = overrides(&[("memory_limit", "32m"), ("callback_timeout", "off")]).unwrap().over(&http);
        assert_eq!(plugin.memory_limit, 32 << 20);
        assert_eq!(plugin.callback_timeout, None);
        assert_eq!(plugin.start_timeout, Options::default().start_timeout);
        assert_eq!(plugin.failure, FailurePolicy::Open);
        assert_eq!(plugin.capabilities, None);
    }

    #[test]
    fn every_option_has_a_parser() {
        let options = overrides(&[
            ("memory_limit", "1g"),
            ("host_memory", "128m"),
            ("callback_timeout", "500ms"),
            ("start_timeout", "2m"),
            ("failure", "closed"),
            ("start_failure", "refuse"),
            ("body_buffer_size", "64k"),
            ("env", "A=1"),
            ("capabilities", "proxy_log, proxy_get_property,"),
            ("image", "on"),
            ("isolation", "request"),
            ("dir", "/a:/b:rw"),
            ("dir", "c"),
            ("pause", "headers"),
            ("resume", "calls"),
        ]);
        let expected = Options {
            memory_limit: 1 << 30,
            host_memory: 128 << 20,
            callback_timeout: Some(Duration::from_millis(500)),
            start_timeout: Some(Duration::from_secs(120)),
            failure: FailurePolicy::Closed,
            start_failure: StartFailure::Refuse,
            body_buffer_size: 64 << 10,
            env: vec![("A".into(), "1".into())],
            capabilities: Some(vec!["proxy_log".into(), "proxy_get_property".into()]),
            image: ImagePolicy::On,
            isolation: Isolation::Request,
            directories: ["/a:/b:rw", "c"].map(|text| Directory::parse(text).unwrap()).into(),
            pause: Some(PauseScope::Headers),
            resume: Resume::Calls,
        };
        assert_eq!(options.unwrap().over(&Options::default()), expected);
    }

    #[test]
    fn variables_add_up_and_hide_each_other() {
        let http = overrides(&[("env", "A=1"), ("env", "B=x=y"), ("env", "A=2")]).unwrap().over(&Options::default());
        let plugin = overrides(&[("env", "B="), ("env", "C=3")]).unwrap().over(&http);
        let env: Vec<String> = plugin.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=2", "B=", "C=3"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (options, reason) in [
            (&[("memory", "1m")][..], "has no option \"memory\""),
            (&[("memory_limit", "1x")], "\"1x\" is not a size"),
            (&[("memory_limit", "1m"), ("memory_limit", "2m")], "sets \"memory_limit\" twice"),
            (&[("callback_timeout", "soon")], "\"soon\" is not a time"),
            (&[("callback_timeout", "0")], "write off for no timeout"),
            (&[("failure", "maybe")], "\"maybe\" is not a failure policy"),
            (&[("start_failure", "no")], "\"no\" is not a policy for starts that fail; write refuse or serve"),
            (&[("image", "yes")], "\"yes\" is not a value of image; write auto, on or off"),
            (&[("pause", "body")], "\"body\" is not a value of pause; write all or headers"),
            (&[("resume", "never")], "\"never\" is not a value of resume; write plugin or calls"),
            (&[("isolation", "thread")], "\"thread\" is not an isolation; write worker or request"),
            (&[("dir", "")], "write HOST_PATH[:GUEST_PATH][:rw]"),
            (&[("dir", "/a:/x"), ("dir", "/b:/x")], "has two directories at /x: /a and /b"),
            (&[("env", "A")], "write NAME=VALUE"),
            (&[("env", "=1")], "write NAME=VALUE"),
        ] {
            let error = overrides(options).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
