//! Which version of this host a plugin needs, by the names of what it imports and exports.
//!
//! Each version has a list of the imports, callbacks and ABI markers that it added. The list of a
//! version that was released does not change any more: what comes later goes into the next one's.

/// Versions with what each of them added, one name a line. The oldest version comes first.
const ADDED: &[(&str, &str)] = &[("0.1.0", include_str!("versions/0.1.0.txt"))];

/// Returns the oldest version that has all of these imports and exports. Names that no version has
/// do not count: they are no imports that nginx would accept, and no callbacks that it would call.
pub fn needed<'a>(names: impl IntoIterator<Item = &'a str>) -> &'static str {
    needed_of(ADDED, names)
}

fn needed_of<'a>(added: &[(&'static str, &'static str)], names: impl IntoIterator<Item = &'a str>) -> &'static str {
    let since = |name: &str| added.iter().position(|(_, added)| added.lines().any(|known| known == name));
    let newest = names.into_iter().filter_map(since).max().unwrap_or(0);
    added[newest].0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::callbacks::Callback;
    use crate::hostcalls::names;
    use crate::plugin::ABI_VERSIONS;

    #[test]
    fn each_import_callback_and_abi_version_came_with_one_version() {
        let markers = ABI_VERSIONS.map(|(marker, _)| marker);
        let known: BTreeSet<_> = names::all().chain(Callback::NAMES.iter().copied()).chain(markers).collect();
        let listed: Vec<_> = ADDED.iter().flat_map(|(_, added)| added.lines()).collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), known);
        assert_eq!(listed.len(), known.len(), "a name is listed twice");
    }

    #[test]
    fn the_newest_version_is_this_one_or_older() {
        let numbers =
            |version: &str| -> Vec<u32> { version.split('.').map(|number| number.parse().unwrap()).collect() };
        assert!(ADDED.is_sorted_by_key(|(version, _)| numbers(version)));
        assert!(numbers(ADDED.last().unwrap().0) <= numbers(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn a_plugin_needs_the_version_that_has_all_it_uses() {
        let added = &[("1.0.0", "proxy_log\nproxy_done\n"), ("1.1.0", "proxy_on_thing\n"), ("2.0.0", "proxy_thing\n")];
        assert_eq!(needed_of(added, []), "1.0.0");
        assert_eq!(needed_of(added, ["proxy_done", "memory", "malloc"]), "1.0.0");
        assert_eq!(needed_of(added, ["proxy_on_thing", "proxy_log"]), "1.1.0");
        assert_eq!(needed_of(added, ["proxy_thing", "proxy_on_thing", "proxy_log"]), "2.0.0");
    }
}
