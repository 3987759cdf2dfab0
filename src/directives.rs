//! `cmd_*`: one function per directive. A function only stores what the operator wrote;
//! [`MainConf::load`] acts on it. docs/directives.md has the directives in the same order.

use std::ffi::{c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use ngx_bindings::conf::{CONF_ERROR, CONF_OK, Conf};
use ngx_bindings::module::{content_directive, location_directive, main_directive};
use ngx_bindings::phase;
use ngx_bindings::sys::{self, ngx_command_t, ngx_conf_t};
use proxy_wasm_host::config::{Directory, PluginDeclaration, UpstreamDeclaration, VmConfig, config_yaml, units};

use super::conf::{
    Attachment, BodyMode, CacheSetting, Declared, HttpConf, LocConf, NamedDirectory, RequestBodyMode, io_reason,
};
use super::guard::guard;
use super::limits::LEAST_COMPILE_MEMORY;
use super::limits::worker::MOST_INSTANCES;
use super::pages;
use super::worker::MainConf;

/// The directives, in the order of docs/directives.md.
pub static mut COMMANDS: [ngx_command_t; 40] = [
    main_directive(c"wasm_vm", sys::NGX_CONF_TAKE1, cmd_wasm_vm),
    main_directive(c"wasm_plugin", sys::NGX_CONF_2MORE, cmd_wasm_plugin),
    main_directive(c"wasm_config", sys::NGX_CONF_TAKE1, cmd_wasm_config),
    location_directive(c"proxy_wasm", sys::NGX_CONF_TAKE123, cmd_proxy_wasm),
    main_directive(c"wasm_start", sys::NGX_CONF_TAKE12, cmd_wasm_start),
    location_directive(c"wasm_request_body", sys::NGX_CONF_TAKE1, cmd_wasm_request_body),
    location_directive(c"wasm_response_body", sys::NGX_CONF_TAKE1, cmd_wasm_response_body),
    main_directive(c"wasm_cache", sys::NGX_CONF_TAKE1, cmd_wasm_cache),
    main_directive(c"wasm_compile_timeout", sys::NGX_CONF_TAKE1, cmd_wasm_compile_timeout),
    main_directive(c"wasm_compile_memory", sys::NGX_CONF_TAKE1, cmd_wasm_compile_memory),
    main_directive(c"wasm_memory_limit", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_host_memory", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_worker_memory", sys::NGX_CONF_TAKE1, cmd_wasm_worker_memory),
    main_directive(c"wasm_callback_timeout", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_start_timeout", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_failure", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_start_failure", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_image", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_isolation", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_pause", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_resume", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_instances", sys::NGX_CONF_TAKE1, cmd_wasm_instances),
    main_directive(c"wasm_body_buffer_size", sys::NGX_CONF_TAKE1, cmd_option),
    main_directive(c"wasm_dir", sys::NGX_CONF_2MORE, cmd_wasm_dir),
    main_directive(c"wasm_env", sys::NGX_CONF_1MORE, cmd_wasm_env),
    main_directive(c"wasm_node", sys::NGX_CONF_1MORE, cmd_wasm_node),
    main_directive(c"wasm_capabilities", sys::NGX_CONF_1MORE, cmd_wasm_capabilities),
    location_directive(c"wasm_pause_timeout", sys::NGX_CONF_TAKE1, cmd_wasm_pause_timeout),
    main_directive(c"wasm_upstream", sys::NGX_CONF_2MORE, cmd_wasm_upstream),
    main_directive(c"wasm_ssl_trusted_certificate", sys::NGX_CONF_TAKE1, cmd_wasm_ssl_trusted_certificate),
    main_directive(c"wasm_ssl_verify", sys::NGX_CONF_TAKE1, cmd_wasm_ssl_verify),
    main_directive(c"wasm_ssl_verify_depth", sys::NGX_CONF_TAKE1, cmd_wasm_ssl_verify_depth),
    main_directive(c"wasm_call_response_limit", sys::NGX_CONF_TAKE1, cmd_wasm_call_response_limit),
    main_directive(c"wasm_call_connections", sys::NGX_CONF_TAKE1, cmd_wasm_call_connections),
    main_directive(c"wasm_shared_data", sys::NGX_CONF_TAKE12, cmd_wasm_shared_data),
    main_directive(c"wasm_shared_queue", sys::NGX_CONF_TAKE1, cmd_wasm_shared_queue),
    main_directive(c"wasm_metrics_zone", sys::NGX_CONF_TAKE1, cmd_wasm_metrics_zone),
    content_directive(c"wasm_metrics", cmd_wasm_metrics),
    content_directive(c"wasm_status", cmd_wasm_status),
    ngx_command_t::empty(),
];

/// The result of a directive's function. An error is a text for the operator, without the
/// directive's name.
type Handled = Result<(), String>;

/// Runs a directive's function on the settings of `http`. Every such directive enables the module.
fn main_handler(
    cf: *mut ngx_conf_t,
    conf: *mut c_void,
    body: impl FnOnce(Conf, &[&[u8]], &mut HttpConf) -> Handled,
) -> *mut c_char {
    // SAFETY: nginx passes its parser.
    let cf = unsafe { Conf::from_nginx(cf) };
    // SAFETY: nginx passes what `create_main_conf` answered.
    let main = unsafe { &mut *conf.cast::<MainConf>() };
    guard(CONF_ERROR, || handle(cf, &mut main.said, body))
}

/// As [`main_handler`], for a directive that may also stand in `server` and `location`.
fn location_handler(
    cf: *mut ngx_conf_t,
    conf: *mut c_void,
    body: impl FnOnce(Conf, &[&[u8]], &mut HttpConf, &mut LocConf) -> Handled,
) -> *mut c_char {
    // SAFETY: nginx passes its parser.
    let cf = unsafe { Conf::from_nginx(cf) };
    // SAFETY: only this handler runs.
    let main = unsafe { cf.main_conf_mut(MainConf::module()) };
    // SAFETY: nginx passes what `create_loc_conf` answered for this level.
    let loc = unsafe { &mut *conf.cast::<LocConf>() };
    guard(CONF_ERROR, || handle(cf, &mut main.said, |cf, args, main| body(cf, args, main, loc)))
}

fn handle(cf: Conf, main: &mut HttpConf, body: impl FnOnce(Conf, &[&[u8]], &mut HttpConf) -> Handled) -> *mut c_char {
    let args = cf.args();
    main.enabled = true;
    match body(cf, &args[1..], main) {
        Ok(()) => CONF_OK,
        Err(reason) => cf.error(format_args!("\"{}\": {reason}", args[0].escape_ascii())),
    }
}

extern "C" fn cmd_wasm_vm(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| match args[0] {
        b"wasmtime" => {
            main.wasm_vm = true;
            Ok(())
        }
        other => Err(format!("\"{}\" is not a VM of this module; write wasmtime", other.escape_ascii())),
    })
}

extern "C" fn cmd_wasm_plugin(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |cf, args, main| {
        let plugin = PluginDeclaration::parse(args).map_err(|error| error.to_string())?;
        declare(cf, main, plugin, "wasm_plugin")
    })
}

extern "C" fn cmd_wasm_config(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |cf, args, main| {
        let path = cf.full_path(args[0]).ok_or("out of memory")?;
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {}", path.display(), io_reason(&error)))?;
        let plugins = config_yaml::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        if plugins.is_empty() {
            tracing::warn!("\"wasm_config\": {} declares no plugins under wasm.plugins{}", path.display(), cf.place());
        }
        plugins.into_iter().try_for_each(|plugin| declare(cf, main, plugin, "wasm_config"))
    })
}

fn declare(cf: Conf, main: &mut HttpConf, mut plugin: PluginDeclaration, directive: &'static str) -> Handled {
    plugin.overrides.directories_mut().iter_mut().try_for_each(|directory| find(cf, directory))?;
    let path = cf.full_path(plugin.file.as_bytes()).ok_or("out of memory")?;
    let vm_configuration = match &plugin.vm_config {
        None => Vec::new(),
        Some(VmConfig::Text(text)) => text.clone().into_bytes(),
        Some(VmConfig::File(path)) => read_file(cf, path.as_bytes())?,
    };
    main.declared.push(Declared { plugin, path, vm_configuration, directive, place: cf.place() });
    Ok(())
}

/// Makes the path of a directory absolute.
fn find(cf: Conf, directory: &mut Directory) -> Handled {
    directory.host = cf.full_path(directory.host.as_os_str().as_bytes()).ok_or("out of memory")?;
    Ok(())
}

/// `wasm_dir NAME HOST_PATH[:GUEST_PATH][:rw]…;`.
extern "C" fn cmd_wasm_dir(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |cf, args, main| {
        let plugin = text(args[0])?.to_owned();
        args[1..].iter().try_for_each(|argument| {
            let mut directory = Directory::parse(text(argument)?).map_err(|error| error.to_string())?;
            find(cf, &mut directory)?;
            main.directories.push(NamedDirectory { plugin: plugin.clone(), directory, place: cf.place() });
            Ok(())
        })
    })
}

extern "C" fn cmd_wasm_cache(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |cf, args, main| {
        if !matches!(main.cache, CacheSetting::Default) {
            return Err("is duplicate".to_owned());
        }
        main.cache = match args[0] {
            b"off" => CacheSetting::Off,
            path => CacheSetting::Path(cf.full_path(path).ok_or("out of memory")?),
        };
        Ok(())
    })
}

/// Sets an option for all plugins by `wasm_option value`; `wasm_plugin` sets it for one plugin by
/// `option=value`.
extern "C" fn cmd_option(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |cf, args, main| {
        let option = text(cf.args()[0])?.trim_start_matches("wasm_");
        set_option(main, option, text(args[0])?)
    })
}

extern "C" fn cmd_wasm_env(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| {
        args.iter().try_for_each(|variable| set_option(main, "env", text(variable)?))
    })
}

extern "C" fn cmd_wasm_node(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| {
        args.iter().try_for_each(|field| {
            let field = text(field)?;
            let set = field.split_once('=').is_some_and(|(name, value)| main.node.set(name, value));
            set.then_some(()).ok_or_else(|| {
                format!("\"{field}\" is not a field of a node; write id=, cluster=, region=, zone=, sub_zone= or metadata.NAME=")
            })
        })
    })
}

extern "C" fn cmd_wasm_capabilities(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| set_option(main, "capabilities", text(&args.join(&b','))?))
}

fn set_option(main: &mut HttpConf, option: &str, value: &str) -> Handled {
    main.overrides.set(option, value).map_err(|error| error.to_string())
}

extern "C" fn cmd_wasm_compile_timeout(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| {
        let time = units::parse_time(text(args[0])?).map_err(|error| error.to_string())?;
        if time.is_zero() {
            return Err("a timeout of 0 lets no plugin be compiled".to_owned());
        }
        set_once(&mut main.compile_timeout, time)
    })
}

extern "C" fn cmd_wasm_compile_memory(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| {
        let limit = units::parse_size(text(args[0])?).map_err(|error| error.to_string())?;
        if limit < LEAST_COMPILE_MEMORY {
            return Err("no plugin can be compiled in less than 16m".to_owned());
        }
        set_once(&mut main.compile_memory, limit)
    })
}

/// Reads an argument as text. nginx's arguments are bytes, but names and numbers must be UTF-8.
fn text(argument: &[u8]) -> Result<&str, String> {
    str::from_utf8(argument).map_err(|_| format!("\"{}\" is not UTF-8", argument.escape_ascii()))
}

extern "C" fn cmd_wasm_request_body(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    location_handler(cf, conf, |_, args, _, loc| set_once(&mut loc.request_body, request_body_mode(args[0])?))
}

extern "C" fn cmd_wasm_response_body(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    location_handler(cf, conf, |_, args, _, loc| set_once(&mut loc.response_body, body_mode(args[0])?))
}

fn request_body_mode(name: &[u8]) -> Result<RequestBodyMode, String> {
    match name {
        b"whole" | b"always" => Ok(RequestBodyMode::Whole),
        b"stream" => Ok(RequestBodyMode::Stream),
        b"property" => Ok(RequestBodyMode::Property),
        b"never" => Ok(RequestBodyMode::Never),
        other => Err(format!("\"{}\" is not a mode; write whole, stream, property or never", other.escape_ascii())),
    }
}

fn body_mode(name: &[u8]) -> Result<BodyMode, String> {
    match name {
        b"always" => Ok(BodyMode::Always),
        b"property" => Ok(BodyMode::Property),
        b"never" => Ok(BodyMode::Never),
        other => Err(format!("\"{}\" is not a mode; write always, property or never", other.escape_ascii())),
    }
}

extern "C" fn cmd_wasm_pause_timeout(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    location_handler(cf, conf, |_, args, _, loc| {
        let time = units::parse_time(text(args[0])?).map_err(|error| error.to_string())?;
        match u32::try_from(time.as_millis()) {
            Ok(0) => Err("a pause of 0 ends every request that a plugin holds".to_owned()),
            Ok(milliseconds) => set_once(&mut loc.pause_timeout, milliseconds),
            Err(_) => Err("a pause can last 49 days at most".to_owned()),
        }
    })
}

extern "C" fn cmd_wasm_upstream(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |cf, args, main| {
        let upstream = UpstreamDeclaration::parse(args).map_err(|error| error.to_string())?;
        main.declare_upstream(upstream, cf.place())
    })
}

extern "C" fn cmd_wasm_ssl_trusted_certificate(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| set_once(&mut main.tls.trusted_certificate, args[0].to_vec()))
}

extern "C" fn cmd_wasm_ssl_verify(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| match args[0] {
        b"on" => set_once(&mut main.tls.verify, true),
        b"off" => set_once(&mut main.tls.verify, false),
        other => Err(format!("\"{}\" is neither on nor off", other.escape_ascii())),
    })
}

extern "C" fn cmd_wasm_ssl_verify_depth(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| {
        let depth = str::from_utf8(args[0]).ok().and_then(|text| text.parse().ok());
        set_once(
            &mut main.tls.verify_depth,
            depth.ok_or_else(|| format!("\"{}\" is not a number", args[0].escape_ascii()))?,
        )
    })
}

extern "C" fn cmd_wasm_call_response_limit(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| {
        let limit = units::parse_size(&String::from_utf8_lossy(args[0])).map_err(|error| error.to_string())?;
        set_once(&mut main.response_limit, limit)
    })
}

extern "C" fn cmd_wasm_call_connections(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| match text(args[0])?.parse() {
        Ok(0) => Err("calls need a connection".to_owned()),
        Ok(connections) => set_once(&mut main.call_connections, connections),
        Err(_) => Err(format!("\"{}\" is not a number", args[0].escape_ascii())),
    })
}

extern "C" fn cmd_wasm_instances(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| match text(args[0])?.parse() {
        Ok(0) => Err("a request needs an instance".to_owned()),
        Ok(instances) if instances <= MOST_INSTANCES => set_once(&mut main.instances, instances),
        Ok(_) => Err(format!("a worker can have {MOST_INSTANCES} instances at most")),
        Err(_) => Err(format!("\"{}\" is not a number", args[0].escape_ascii())),
    })
}

extern "C" fn cmd_wasm_worker_memory(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| {
        let limit = units::parse_size(text(args[0])?).map_err(|error| error.to_string())?;
        set_once(&mut main.worker_memory, limit)
    })
}

fn set_once<T>(setting: &mut Option<T>, value: T) -> Handled {
    match setting.replace(value) {
        None => Ok(()),
        Some(_) => Err("is duplicate".to_owned()),
    }
}

extern "C" fn cmd_proxy_wasm(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    location_handler(cf, conf, attach)
}

/// Reads a file with a configuration.
fn read_file(cf: Conf, path: &[u8]) -> Result<Vec<u8>, String> {
    let path = cf.full_path(path).ok_or("out of memory")?;
    std::fs::read(&path).map_err(|error| format!("{} cannot be read: {}", path.display(), io_reason(&error)))
}

/// `proxy_wasm NAME [CONF | conf_file=PATH] [subrequests=on|off];` or `proxy_wasm off;`.
fn attach(cf: Conf, args: &[&[u8]], main: &mut HttpConf, loc: &mut LocConf) -> Handled {
    if args == [b"off"] {
        loc.off = true;
        return Ok(());
    }
    let (args, subrequests) = match *args {
        [ref before @ .., last] if !before.is_empty() => match subrequests(last)? {
            Some(on) => (before, on),
            None => (args, false),
        },
        _ => (args, false),
    };
    let attachment = Attachment { subrequests, ..attachment(cf, args, "proxy_wasm")? };
    loc.own.push(main.attachments.len());
    main.attachments.push(attachment);
    Ok(())
}

/// Reads `subrequests=on|off`; `None` for an argument that is something else.
fn subrequests(argument: &[u8]) -> Result<Option<bool>, String> {
    match argument.strip_prefix(b"subrequests=") {
        None => Ok(None),
        Some(b"on") => Ok(Some(true)),
        Some(b"off") => Ok(Some(false)),
        Some(other) => Err(format!("\"{}\" is not a value of subrequests; write on or off", other.escape_ascii())),
    }
}

/// `wasm_start NAME [CONF | conf_file=PATH];`.
extern "C" fn cmd_wasm_start(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |cf, args, main| {
        main.attachments.push(attachment(cf, args, "wasm_start")?);
        Ok(())
    })
}

/// Reads the name of a plugin and a configuration of it.
fn attachment(cf: Conf, args: &[&[u8]], directive: &'static str) -> Result<Attachment, String> {
    let (name, configuration) = match *args {
        [name] => (name, Vec::new()),
        [name, conf] => match conf.strip_prefix(b"conf_file=") {
            Some(path) => (name, read_file(cf, path)?),
            None => (name, conf.to_vec()),
        },
        _ => return Err("takes a name and a configuration, and subrequests=on or off behind them".to_owned()),
    };
    Ok(Attachment {
        directive,
        name: String::from_utf8_lossy(name).into_owned(),
        configuration: Arc::from(configuration),
        in_location: cf.block() & sys::NGX_HTTP_LOC_CONF != 0,
        subrequests: false,
        place: cf.place(),
    })
}

extern "C" fn cmd_wasm_shared_data(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| main.zones.set_data(args))
}

extern "C" fn cmd_wasm_shared_queue(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| main.zones.set_queues(args[0]))
}

extern "C" fn cmd_wasm_metrics_zone(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    main_handler(cf, conf, |_, args, main| main.zones.set_metrics(args[0]))
}

extern "C" fn cmd_wasm_metrics(cf: *mut ngx_conf_t, _: *mut ngx_command_t, _: *mut c_void) -> *mut c_char {
    content_handler(cf, pages::on_metrics)
}

extern "C" fn cmd_wasm_status(cf: *mut ngx_conf_t, _: *mut ngx_command_t, _: *mut c_void) -> *mut c_char {
    content_handler(cf, pages::on_status)
}

fn content_handler(cf: *mut ngx_conf_t, handler: phase::Handler) -> *mut c_char {
    // SAFETY: nginx passes its parser, inside a location.
    let cf = unsafe { Conf::from_nginx(cf) };
    guard(CONF_ERROR, || {
        phase::set_content_handler(cf, handler);
        CONF_OK
    })
}
