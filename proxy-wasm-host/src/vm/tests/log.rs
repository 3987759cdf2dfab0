//! The lines of nginx's error log about the life of contexts. Test suites of other hosts look for
//! the same lines.

use super::guest::guest_but;
use super::{request, started, vm};
use crate::local::logged;

#[test]
fn a_plain_life_is_told_at_level_info() {
    let lines = logged(|| {
        let (_, vm) = vm(&guest_but(&[]));
        request(&started(&vm, "")).on_request_headers(0, true).unwrap();
    });
    let expected = [
        "INFO loaded wasm plugin",
        "INFO create plugin context 1",
        "INFO create http context 2",
        "INFO free http context 2",
        "INFO free plugin context 1",
        "INFO unloaded wasm plugin",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_trap_is_one_line_with_the_names_of_functions() {
    let wat = guest_but(&[("request_headers", "(call $_ZN4core9panicking5panic17h0123456789abcdefE) (i32.const 0)")]);
    let wat = wat.replacen("(memory", "(func $_ZN4core9panicking5panic17h0123456789abcdefE unreachable) (memory", 1);
    let lines = logged(|| {
        let (_, vm) = vm(&wat);
        request(&started(&vm, "")).on_request_headers(0, true).unwrap_err();
    });
    let errors: Vec<_> = lines.iter().filter(|line| line.starts_with("ERROR")).collect();
    let [line] = errors.as_slice() else { panic!("{lines:#?}") };
    assert!(
        line.starts_with(
            "ERROR failed to call function: proxy_on_request_headers of plugin \"test\" in context 2: \
             wasm trap: wasm `unreachable` instruction executed, backtrace: 0: "
        ),
        "{line}"
    );
    assert!(line.contains("core::panicking::panic"), "{line}");
    assert!(line.contains(", 1: "), "{line}");
    assert!(!line.contains('\n'), "{line}");
}

#[test]
fn what_a_plugin_refuses_is_an_error_with_its_context() {
    let lines = logged(|| {
        let (_, vm) = vm(&guest_but(&[("configure", "(i32.const 0)")]));
        vm.plugin_context([].into()).start().unwrap_err();
    });
    let expected = [
        "INFO loaded wasm plugin",
        "ERROR failed to configure plugin context 1, rc: 0, plugin: test",
        "INFO free plugin context 1",
        "INFO unloaded wasm plugin",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_context_that_is_never_done_is_deleted_with_the_vm() {
    let lines = logged(|| {
        let (host, vm) = vm(&guest_but(&[("done", "(i32.const 0)")]));
        drop(started(&vm, ""));
        host.take_log();
        drop(vm);
        assert_eq!(host.take_log(), ["proxy_on_log 1", "proxy_on_delete 1"]);
    });
    let expected = [
        "INFO loaded wasm plugin",
        "INFO create plugin context 1",
        "ERROR failed to mark context 1 as done, rc: 0, plugin: test",
        "INFO free plugin context 1",
        "INFO unloaded wasm plugin",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn each_step_that_traps_says_which_it_was() {
    for (name, expected) in [
        ("context_create", "ERROR failed to create context 1, rc: -1, plugin: test"),
        ("configure", "ERROR failed to configure plugin context 1, rc: -1, plugin: test"),
        ("done", "ERROR failed to mark context 1 as done, rc: -1, plugin: test"),
        ("delete", "ERROR failed to delete context 1, rc: -1, plugin: test"),
    ] {
        let lines = logged(|| {
            let (_, vm) = vm(&guest_but(&[(name, "unreachable")]));
            let _ = vm.plugin_context([].into()).start();
        });
        assert!(lines.iter().any(|line| line == expected), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("ERROR failed to call function: proxy_on_")), "{lines:#?}");
        assert!(lines.contains(&"INFO free plugin context 1".to_owned()), "{lines:#?}");
    }
}
