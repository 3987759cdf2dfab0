//! Refuses requests by the country of the client's address.
//!
//! Which network is of which country stands in a file, in a directory that the operator gives the plugin. A tick looks at the
//! file's time of change, and reads the file again if it is another one.

mod config;
mod database;

use std::cell::RefCell;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use config::Config;
use database::Database;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { state: None }));
}}

struct Plugin {
    state: Option<Rc<State>>,
}

/// What requests look at.
struct State {
    config: Config,
    loaded: RefCell<Loaded>,
}

/// The file, as it was when it was read.
struct Loaded {
    database: Database,
    changed: Option<SystemTime>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        match self.configure() {
            Ok(state) => {
                self.set_tick_period(Duration::from_millis(state.config.reload));
                self.state = Some(Rc::new(state));
                true
            }
            Err(reason) => {
                error!("country-block: {reason}");
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(state) = &self.state {
            state.reload();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { state: Rc::clone(self.state.as_ref()?) }))
    }
}

impl Plugin {
    fn configure(&self) -> Result<State, String> {
        let config = Config::parse(&self.get_plugin_configuration().unwrap_or_default())?;
        let (changed, text) = read(&config.database).map_err(|error| unreadable(&config, &error))?;
        let database = Database::parse(&text).map_err(|reason| format!("{}: {reason}", config.database))?;
        Ok(State { config, loaded: RefCell::new(Loaded { database, changed: Some(changed) }) })
    }
}

impl State {
    /// Reads the file again if it has changed. What cannot be read leaves the networks as they are.
    fn reload(&self) {
        let path = &self.config.database;
        let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
        let mut loaded = self.loaded.borrow_mut();
        match changed {
            Ok(changed) if loaded.changed == Some(changed) => return,
            // Told once.
            Err(_) if loaded.changed.is_none() => return,
            _ => {}
        }
        match read(path) {
            Ok((changed, text)) => {
                loaded.changed = Some(changed);
                match Database::parse(&text) {
                    Ok(database) => {
                        info!("country-block: {path} has {} networks now", database.len());
                        loaded.database = database;
                    }
                    Err(reason) => error!("country-block: {path}: {reason}; the networks stay as they are"),
                }
            }
            Err(reason) => {
                loaded.changed = None;
                error!("country-block: {}; the networks stay as they are", unreadable(&self.config, &reason));
            }
        }
    }
}

/// A file's time of change and its text. The time is that before the text is read, so that a change meanwhile is seen.
fn read(path: &str) -> io::Result<(SystemTime, String)> {
    let changed = fs::metadata(path)?.modified()?;
    Ok((changed, fs::read_to_string(path)?))
}

fn unreadable(config: &Config, error: &io::Error) -> String {
    format!("{} cannot be read: {error}; is its directory given to the plugin, by dir= or wasm_dir?", config.database)
}

struct Request {
    state: Rc<State>,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let loaded = self.state.loaded.borrow();
        let country = self.address().and_then(|address| loaded.database.country(address));
        if !self.state.config.refuses(country) {
            return Action::Continue;
        }
        let status = self.state.config.status;
        self.send_http_response(
            status,
            vec![("x-country", country.unwrap_or("none"))],
            Some(b"not from where you are\n"),
        );
        Action::Pause
    }
}

impl Request {
    /// The client's address: that of the connection, or of the header that a proxy in front has set.
    fn address(&self) -> Option<IpAddr> {
        if let Some(header) = &self.state.config.address_header {
            return self.get_http_request_header(header)?.trim().parse().ok();
        }
        let address =
            self.get_property(vec!["source", "address"]).or_else(|| self.get_property(vec!["remote_addr"]))?;
        parse_address(&String::from_utf8(address).ok()?)
    }
}

/// Reads an address that may have a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let without_port = || Some(text.rsplit_once(':')?.0.trim_matches(['[', ']']));
    text.parse().ok().or_else(|| without_port()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_port() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
        ] {
            assert_eq!(parse_address(text), address.parse().ok(), "{text}");
        }
        assert_eq!(parse_address("unix:"), None);
    }
}
