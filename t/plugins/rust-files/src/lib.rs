//! Does to files what its configuration says when it is configured, and what the header `x-files` of a request says, by
//! Rust's standard library. It answers requests with what came of both.
//!
//! There is one command in each line, or between two semicolons: `read PATH`, `list PATH`, `stat PATH`, `write PATH TEXT`,
//! `append PATH TEXT`, `mkdir PATH`, `rm PATH`, `rmdir PATH`, `rename PATH PATH`, `hold PATH` (opens the file and keeps it
//! open), `held` (reads one byte more of it), `drop` (closes it), `many PATH` (opens it until that fails), `forever PATH`
//! (reads it again and again), `tick MILLISECONDS PATH` (at each tick, reads the file).

use std::cell::RefCell;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin::default()));
}}

#[derive(Default)]
struct Plugin {
    configured: String,
    ticked: Option<String>,
    shared: Rc<RefCell<Shared>>,
}

/// What requests find.
#[derive(Default)]
struct Shared {
    held: Option<File>,
    last_tick: String,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let conf = self.get_plugin_configuration().unwrap_or_default();
        let conf = String::from_utf8_lossy(&conf).into_owned();
        let (ticks, others): (Vec<_>, Vec<_>) = commands(&conf).partition(|command| command.starts_with("tick "));
        if let Some((_, (period, path))) =
            ticks.first().map(|tick| tick.split_at(5)).map(|(tick, rest)| (tick, two(rest)))
        {
            self.set_tick_period(Duration::from_millis(period.parse().unwrap()));
            self.ticked = Some(path.to_owned());
        }
        self.configured = run(others.into_iter(), &self.shared);
        true
    }

    fn on_tick(&mut self) {
        if let Some(path) = &self.ticked {
            let read = outcome(fs::read_to_string(path));
            if self.shared.borrow().last_tick != read {
                info!("ticked: {read}");
                self.shared.borrow_mut().last_tick = read;
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { configured: self.configured.clone(), shared: Rc::clone(&self.shared) }))
    }
}

struct Request {
    configured: String,
    shared: Rc<RefCell<Shared>>,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let asked = self.get_http_request_header("x-files").unwrap_or_default();
        let body = format!("{}{}", self.configured, run(commands(&asked), &self.shared));
        self.send_http_response(200, vec![], Some(body.as_bytes()));
        Action::Pause
    }
}

fn commands(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', ';']).map(str::trim).filter(|command| !command.is_empty())
}

fn two(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// A line for each command: the command, and what came of it.
fn run<'a>(commands: impl Iterator<Item = &'a str>, shared: &RefCell<Shared>) -> String {
    commands.map(|command| format!("{command}: {}\n", one(command, shared))).collect()
}

fn one(command: &str, shared: &RefCell<Shared>) -> String {
    let (name, rest) = two(command);
    let (path, text) = two(rest);
    match name {
        "read" => outcome(fs::read_to_string(rest)),
        "size" => outcome(fs::read(rest).map(|bytes| bytes.len())),
        "list" => outcome(list(rest)),
        "stat" => outcome(fs::metadata(rest).map(|meta| match meta.is_dir() {
            true => "directory".to_owned(),
            false => format!("{} bytes", meta.len()),
        })),
        "write" => outcome(fs::write(path, text).map(|()| "done")),
        "append" => outcome(
            OpenOptions::new()
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map(|()| "done"),
        ),
        "mkdir" => outcome(fs::create_dir(rest).map(|()| "done")),
        "rm" => outcome(fs::remove_file(rest).map(|()| "done")),
        "rmdir" => outcome(fs::remove_dir(rest).map(|()| "done")),
        "rename" => outcome(fs::rename(path, text).map(|()| "done")),
        "hold" => outcome(File::open(rest).map(|file| {
            shared.borrow_mut().held = Some(file);
            "done"
        })),
        "held" => outcome(held(&mut shared.borrow_mut())),
        "drop" => outcome(Ok(shared.borrow_mut().held.take().map_or("nothing", |_| "done"))),
        "many" => many(rest),
        "forever" => loop {
            if let Err(error) = fs::read(rest) {
                break outcome::<String>(Err(error));
            }
        },
        "last" => shared.borrow().last_tick.clone(),
        _ => "no such command".to_owned(),
    }
}

fn list(path: &str) -> io::Result<String> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(match names.len() {
        ..=20 => names.join(" "),
        count => format!("{count} names"),
    })
}

fn held(shared: &mut Shared) -> io::Result<String> {
    let mut byte = [0];
    let file = shared.held.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    let size = file.read(&mut byte)?;
    Ok(String::from_utf8_lossy(&byte[..size]).into_owned())
}

fn many(path: &str) -> String {
    let mut files = Vec::new();
    loop {
        match File::open(path) {
            Ok(file) => files.push(file),
            Err(error) => break format!("{} files, then {}", files.len(), outcome::<String>(Err(error))),
        }
    }
}

fn outcome<T: Display>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => "not found".to_owned(),
            io::ErrorKind::PermissionDenied => "not permitted".to_owned(),
            io::ErrorKind::AlreadyExists => "exists".to_owned(),
            _ => format!("error {}", error.raw_os_error().map_or(error.to_string(), |number| number.to_string())),
        },
    }
}
