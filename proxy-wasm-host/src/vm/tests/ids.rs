//! The ids of contexts. Test suites of other hosts check for the same sequences.

use super::guest::guest_but;
use super::{request, started, vm};

#[test]
fn plugin_and_http_contexts_count_together() {
    let (_, vm) = vm(&guest_but(&[]));
    let first = started(&vm, "");
    assert_eq!(first.id(), Some(1));
    let http = request(&first);
    assert_eq!(http.id(), Some(2));
    let second = started(&vm, "");
    assert_eq!(second.id(), Some(3));
    assert_eq!(request(&second).id(), Some(4));
}

#[test]
fn an_http_context_takes_a_free_id_of_its_plugin_context() {
    let (_, vm) = vm(&guest_but(&[]));
    let first = started(&vm, "");
    let second = started(&vm, "");
    assert_eq!(request(&first).id(), Some(3));
    assert_eq!(request(&first).id(), Some(3));
    assert_eq!(request(&second).id(), Some(4));
    let both = [request(&first), request(&first)];
    assert_eq!([both[0].id(), both[1].id()], [Some(3), Some(5)]);
}

#[test]
fn with_a_plugin_context_the_ids_of_its_http_contexts_go() {
    let (_, vm) = vm(&guest_but(&[]));
    let plugin = started(&vm, "");
    assert_eq!(request(&plugin).id(), Some(2));
    drop(plugin);
    let plugin = started(&vm, "");
    assert_eq!(plugin.id(), Some(1));
    assert_eq!(request(&plugin).id(), Some(3));
}

#[test]
fn the_plugin_id_that_was_freed_first_is_used_first() {
    let (_, vm) = vm(&guest_but(&[]));
    let [first, second, third] = [started(&vm, ""), started(&vm, ""), started(&vm, "")];
    drop(second);
    drop(first);
    let again = [started(&vm, ""), started(&vm, ""), started(&vm, "")];
    assert_eq!(again.each_ref().map(|context| context.id()), [Some(2), Some(1), Some(4)]);
    assert_eq!(third.id(), Some(3));
}

#[test]
fn ids_that_went_leave_no_memory_behind() {
    let (_, vm) = vm(&guest_but(&[("context_create", ""), ("log", "")]));
    for _ in 0..1000 {
        let plugin = started(&vm, "");
        let _requests = [request(&plugin), request(&plugin)];
    }
    let status = vm.status().unwrap();
    assert_eq!((status.plugin_contexts, status.http_contexts), (0, 0));
    assert_eq!(started(&vm, "").id(), Some(1));
}
