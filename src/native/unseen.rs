//! Looks through the locations that have plugins, for how nginx passes on the bodies of their requests,
//! and for what other modules of nginx add to a response's body without the plugins.
//!
//! Plugins see what nginx produces for a request itself. They do not see what later filters add by
//! subrequests (`add_after_body`, `ssi`), unless they get those, too. An operator may rely on a plugin to
//! see everything that clients get, so a warning is logged when the configuration is read.

use std::ffi::CStr;

use ngx_bindings::Conf;
use ngx_bindings::log::Level;
use ngx_bindings::modules::{Directive, Location};
use ngx_bindings::passing::Passers;
use proxy_wasm_host::Callback;

use crate::conf::{Attachment, BodyMode, LocConf};
use crate::worker::{DeclaredPlugin, MainConf};

const ADDITION: &CStr = c"ngx_http_addition_filter_module";

/// Directives that add the responses of subrequests to a response.
const ADDING: [(&CStr, &str); 3] =
    [(ADDITION, "add_before_body"), (ADDITION, "add_after_body"), (c"ngx_http_ssi_filter_module", "ssi")];

/// Checks all locations, after all of `http` has been read and merged.
pub fn look_through(cf: Conf, main: &MainConf) {
    let slice = Directive::find(cf, c"ngx_http_slice_filter_module", "slice");
    let adding = ADDING.iter().filter_map(|(module, name)| Some((*name, Directive::find(cf, module, name)?)));
    let adding: Vec<_> = adding.collect();
    let passers = Passers::find(cf);
    let mut said = Vec::new();
    for location in main.locations.borrow().iter() {
        // SAFETY: the location belongs to the configuration that is being read.
        let location = unsafe { location.lend(cf) };
        let loc = location.conf(LocConf::module());
        loc.passing.set(passers.of(location));
        let missing = plugins_that_see(loc, main).find(|(_, attachment)| !attachment.subrequests);
        for (name, _) in adding.iter().filter(|(_, directive)| missing.is_some() && directive.is_in_force(location)) {
            let place = missing.map_or("", |(_, attachment)| &attachment.place);
            let line = format!(
                "\"{name}\" adds to responses what plugins do not see, those of \"proxy_wasm\"{place} among them"
            );
            if !said.contains(&line) {
                cf.log().write(Level::Warn, line.as_bytes());
                said.push(line);
            }
        }
        let changed = plugins_that_see(loc, main).any(|(plugin, _)| plugin.plugin.may_change_bodies());
        loc.is_changed_in_parts.set(changed && slice.is_some_and(|slice| slice.is_in_force(location)));
    }
}

/// Returns the plugins that see the bodies of a location's responses, and where they are attached.
fn plugins_that_see<'a>(
    loc: &'a LocConf,
    main: &'a MainConf,
) -> impl Iterator<Item = (&'a DeclaredPlugin, &'a Attachment)> {
    let attached = loc.attachments.iter().filter(|_| loc.response_body() != BodyMode::Never);
    let plugins = attached.map(|attached| (main.plugin_of(attached.index), &main.said.attachments[attached.index]));
    plugins.filter(|(plugin, _)| plugin.plugin.has(Callback::OnResponseBody))
}

/// Stores a location that has plugins.
pub fn remember(cf: Conf, main: &MainConf, loc: &LocConf) {
    if !loc.attachments.is_empty() {
        main.locations.borrow_mut().push(Location::merged(cf).store());
    }
}
