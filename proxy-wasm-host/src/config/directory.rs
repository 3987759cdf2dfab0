//! A directory that a plugin may use: `HOST_PATH[:GUEST_PATH][:rw]`.

use std::fmt;
use std::path::PathBuf;

use super::{Error, Result};

/// A directory that a plugin may use.
#[derive(Clone, PartialEq, Eq)]
pub struct Directory {
    /// The directory on this machine. Whoever reads the configuration makes a relative path absolute.
    pub host: PathBuf,
    /// The path at which the plugin finds it. It begins with a slash, and ends with one only if it is the root.
    pub guest: String,
    /// Whether the plugin may change what is in it.
    pub writable: bool,
}

impl Directory {
    /// Reads a directory. Without a path for the plugin, it finds the directory at the path that it has on this machine; one that is
    /// relative there, below the root.
    ///
    /// # Errors
    /// When a path is missing, or cannot be one of a plugin.
    pub fn parse(text: &str) -> Result<Self> {
        let (paths, writable) = text.strip_suffix(":rw").map_or((text, false), |paths| (paths, true));
        let (host, guest) = paths.split_once(':').unwrap_or((paths, paths));
        if host.is_empty() {
            return Err(Error::new(format!("\"{text}\" names no directory; write HOST_PATH[:GUEST_PATH][:rw]")));
        }
        if guest.contains(':') {
            return Err(Error::new(format!("\"{text}\" has too many parts; write HOST_PATH[:GUEST_PATH][:rw]")));
        }
        let is_named = paths.len() != guest.len();
        if is_named && !guest.starts_with('/') {
            return Err(Error::new(format!(
                "\"{guest}\" does not begin with /; a plugin finds directories at absolute paths"
            )));
        }
        let names: Vec<_> = guest.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        if names.contains(&"..") {
            return Err(Error::new(format!(
                "\"{guest}\" has .. in it; name the path at which the plugin is to find the directory"
            )));
        }
        Ok(Self { host: PathBuf::from(host), guest: format!("/{}", names.join("/")), writable })
    }

    /// Adds a directory to those of a plugin.
    ///
    /// # Errors
    /// When there is one at the same path already.
    pub fn add_to(self, directories: &mut Vec<Self>) -> Result<()> {
        if let Some(other) = directories.iter().find(|other| other.guest == self.guest) {
            let (guest, host, other) = (&self.guest, self.host.display(), other.host.display());
            return Err(Error::new(format!("has two directories at {guest}: {other} and {host}")));
        }
        directories.push(self);
        Ok(())
    }
}

/// As it is written in the configuration.
impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.host.display(), self.guest, if self.writable { ":rw" } else { "" })
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read() {
        for (text, expected) in [
            ("/etc/geoip", "/etc/geoip:/etc/geoip"),
            ("/etc/geoip/:rw", "/etc/geoip/:/etc/geoip:rw"),
            ("/etc/geoip:/data", "/etc/geoip:/data"),
            ("geoip:/data//x/:rw", "geoip:/data/x:rw"),
            ("conf/geoip", "conf/geoip:/conf/geoip"),
            ("./geoip", "./geoip:/geoip"),
            ("/srv:/", "/srv:/"),
            ("rw", "rw:/rw"),
            ("rw:rw", "rw:/rw:rw"),
        ] {
            assert_eq!(Directory::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        for (text, reason) in [
            ("", "names no directory"),
            (":rw", "names no directory"),
            (":/data", "names no directory"),
            ("/a:b", "\"b\" does not begin with /"),
            ("/a:", "\"\" does not begin with /"),
            ("/a:ro", "\"ro\" does not begin with /"),
            ("/a:/b:/c", "too many parts"),
            ("/a:/b/../c", "has .. in it"),
            ("../a", "has .. in it"),
        ] {
            let error = Directory::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_has_one_directory() {
        let mut directories = Vec::new();
        Directory::parse("/a:/data").unwrap().add_to(&mut directories).unwrap();
        Directory::parse("/a:/data/b").unwrap().add_to(&mut directories).unwrap();
        let error = Directory::parse("/c:/data/:rw").unwrap().add_to(&mut directories).unwrap_err();
        assert_eq!(error.to_string(), "has two directories at /data: /a and /c");
    }
}
