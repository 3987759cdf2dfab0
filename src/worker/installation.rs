//! Checks the installation: this module and its Lua file must both be there, and have the same
//! version.
//!
//! If one is missing, APISIX serves routes without their plugins and reports nothing. The Lua file
//! registers itself when it is first required. If it has not done so after `init_by_lua`, Lua is
//! asked which file it would find.

use std::cell::RefCell;
use std::fs;

use ngx_bindings::cycle;
use ngx_bindings::lua;
use proxy_wasm_host::status::Lua;

use crate::identity::VERSION;

/// The Lua file in use, and the installation's problem, if it has one.
#[derive(Default)]
pub struct Installation {
    file: RefCell<Option<LuaFile>>,
    problem: RefCell<Option<String>>,
}

/// `resty/proxy-wasm.lua`, as it registered itself.
struct LuaFile {
    path: String,
    version: String,
}

impl Installation {
    /// Registers the Lua file, when it is required.
    pub fn register(&self, version: &str, path: &str) {
        *self.file.borrow_mut() = Some(LuaFile { path: path.to_owned(), version: version.to_owned() });
        if version == VERSION {
            return;
        }
        let problem = format!(
            "proxy_wasm: {path} is of version {version}, but ngx_http_proxy_wasm_module.so of version {VERSION}: install both \
             from one release, and restart nginx"
        );
        // While nginx reads its configuration, `check` logs the problem later, in the log that the
        // configuration names.
        if cycle::serves() && self.problem.borrow().as_ref() != Some(&problem) {
            tracing::error!("{problem}");
        }
        *self.problem.borrow_mut() = Some(problem);
    }

    /// Returns the installation's problem, after `init_by_lua` has run. `expected` says that the
    /// configuration serves only Lua, so the Lua file must be there.
    pub fn check(&self, lua: Option<lua::Lua>, expected: bool) -> Option<String> {
        if self.file.borrow().is_none()
            && let Some(found) = lua.and_then(Found::look)
        {
            *self.problem.borrow_mut() = found.problem(expected);
        }
        self.problem.borrow().clone()
    }

    /// Returns the part of the status page about Lua.
    pub fn status(&self) -> Lua {
        let file = self.file.borrow();
        Lua {
            file: file.as_ref().map(|file| file.path.clone()),
            version: file.as_ref().map(|file| file.version.clone()),
            problem: self.problem.borrow().clone(),
        }
    }
}

/// What Lua finds under the name of the Lua file.
struct Found {
    /// Whether a module of that name was required already.
    required: bool,
    path: Option<String>,
    looked_for: String,
}

impl Found {
    fn look(lua: lua::Lua) -> Option<Self> {
        let answer = lua.run(
            c"local name = 'resty.proxy-wasm'
            local path, looked_for = package.searchpath(name, package.path)
            return (package.loaded[name] and 'required' or '') .. '\\n' .. (path or '') .. '\\n' .. (looked_for or '')",
        )?;
        let answer = String::from_utf8_lossy(&answer);
        let mut lines = answer.split('\n');
        let (required, path) = (lines.next()? == "required", lines.next()?);
        // Each path is in a line like "\tno file '/some/where.lua'".
        let looked_for: Vec<_> = lines.filter_map(|line| line.split('\'').nth(1)).collect();
        Some(Self { required, path: (!path.is_empty()).then(|| path.to_owned()), looked_for: looked_for.join(", ") })
    }

    fn problem(&self, expected: bool) -> Option<String> {
        if !self.required && !expected {
            return None;
        }
        let remedy = format!(
            "install that of this module (version {VERSION}) where lua_package_path comes to it first (in APISIX: \
             extra_lua_path). Until then Lua loads no plugins"
        );
        match &self.path {
            Some(path) if is_ours(path) => None,
            Some(path) => {
                Some(format!("proxy_wasm: Lua finds {path}, which is the resty.proxy-wasm of another module: {remedy}"))
            }
            None => Some(format!(
                "proxy_wasm: Lua finds no resty/proxy-wasm.lua: {remedy}. It looked for {}",
                self.looked_for
            )),
        }
    }
}

/// Whether a Lua file calls this module. A file that nobody has required yet cannot register
/// itself.
fn is_ours(path: &str) -> bool {
    let name = b"ngx_http_proxy_wasm_load";
    fs::read(path).is_ok_and(|text| text.windows(name.len()).any(|window| window == name))
}
