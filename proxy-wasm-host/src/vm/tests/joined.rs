//! Callbacks in one crossing: plugin and operator see the same as with single calls.

use std::rc::Rc;
use std::time::Duration;

use super::guest::guest_but;
use super::{started, vm, vm_with};
use crate::abi::Action;
use crate::failure::Failure;
use crate::local::{self, LocalHost, LocalStream, logged};
use crate::plugin::PluginOptions;
use crate::vm::{HttpContext, PluginContext};

const LIFE: [&str; 5] = [
    "proxy_on_context_create 2",
    "proxy_on_request_headers 2",
    "proxy_on_done 2",
    "proxy_on_log 2",
    "proxy_on_delete 2",
];

fn receive(plugin: &Rc<PluginContext<LocalHost>>) -> Result<(HttpContext<LocalHost>, Action), Failure> {
    let http = plugin.http_context();
    let action = http.receive(LocalStream::default(), 3, true)?;
    Ok((http, action))
}

/// Returns how often the host entered the guest for one request, and what the plugin logged about
/// it.
fn life(wat: &str) -> (usize, Vec<String>) {
    let (host, vm) = vm(wat);
    let plugin = started(&vm, "");
    host.take_log();
    let counted = || {
        let worker = host.worker();
        (worker.entered, worker.callbacks)
    };
    let before = counted();
    drop(receive(&plugin).unwrap());
    let (after, log) = (counted(), host.take_log());
    assert_eq!(after.1 - before.1, log.len(), "each is counted");
    (after.0 - before.0, log)
}

#[test]
fn a_request_costs_two_crossings() {
    assert_eq!(life(&guest_but(&[])), (2, LIFE.map(String::from).to_vec()));
}

#[test]
fn a_plugin_without_one_of_them_is_called_for_each_of_the_others() {
    for (missing, name) in LIFE.iter().enumerate() {
        let export = format!("\"{}\"", name.trim_end_matches(" 2"));
        let (entered, log) = life(&guest_but(&[]).replace(&format!("(export {export})"), ""));
        let mut expected = LIFE.map(String::from).to_vec();
        expected.remove(missing);
        assert_eq!((entered, log), (4, expected));
    }
}

#[test]
fn headers_of_abi_0_1_0_are_called_alone() {
    let new = r#"(func (export "proxy_on_request_headers") (param i32) (param i32) (param i32)"#;
    let old = r#"(func (export "proxy_on_request_headers") (param i32) (param i32)"#;
    let wat = guest_but(&[]);
    assert!(wat.contains(new));
    let (entered, log) = life(&wat.replace(new, old));
    assert_eq!((entered, log), (5, LIFE.map(String::from).to_vec()));
}

#[test]
fn what_request_headers_return_is_told() {
    let (_, vm) = vm(&guest_but(&[("request_headers", "(i32.add (local.get 1) (local.get 2))")]));
    let plugin = started(&vm, "");
    let receive = |num_headers, end| plugin.http_context().receive(LocalStream::default(), num_headers, end);
    assert_eq!(receive(0, false), Ok(Action::Continue));
    assert_eq!(receive(0, true), Ok(Action::Pause));
    assert_eq!(receive(1, false), Ok(Action::PauseHeaders));
    assert_eq!(receive(6, true), Err(Failure::BadAction(7)));
    assert_eq!(receive(u32::MAX, false), Err(Failure::BadAction(-1)));
    let status = vm.status().unwrap();
    assert_eq!((status.failures, status.http_contexts), (0, 0), "it was wrong, but it is not broken");
}

#[test]
fn each_finds_its_own_context_effective() {
    // Only matters in HTTP contexts: context 1 is the plugin context itself, the first one created.
    let elsewhere = "(drop (call $effective (i32.const 1)))";
    let (host, vm) = vm(&guest_but(&[
        ("context_create", elsewhere),
        ("request_headers", &format!("(call $echo) {elsewhere} (i32.const 0)")),
        ("done", &format!("(call $echo) {elsewhere} (i32.const 1)")),
        ("log", &format!("(call $echo) {elsewhere}")),
        ("delete", "(call $echo)"),
    ]));
    let plugin = started(&vm, "");
    host.take_log();
    drop(receive(&plugin).unwrap());
    assert_eq!(host.take_log(), LIFE);
    let contexts: Vec<_> = host.worker().echoes.iter().map(|(context, _)| *context).collect();
    assert_eq!(contexts, [2, 2, 2, 2]);
    assert_eq!(host.worker().callbacks, 3 + LIFE.len());
}

#[test]
fn one_that_traps_is_named() {
    for name in LIFE {
        let callback = name.trim_end_matches(" 2");
        let short = callback.trim_start_matches("proxy_on_");
        let trap = "(if (i32.eq (local.get 0) (i32.const 2)) (then unreachable))";
        let result = if matches!(short, "request_headers" | "done") { "(i32.const 1)" } else { "" };
        let lines = logged(|| {
            let (host, vm) = vm(&guest_but(&[(short, &format!("{trap} {result}"))]));
            let plugin = started(&vm, "");
            let before = host.worker().callbacks;
            drop(receive(&plugin));
            let ran = LIFE.iter().position(|known| *known == name).unwrap() + 1;
            assert_eq!(host.worker().callbacks - before, ran, "{name}");
        });
        let errors: Vec<_> = lines.iter().filter(|line| line.starts_with("ERROR")).collect();
        let failed = format!("ERROR failed to call function: {callback} of plugin \"test\" in context 2: ");
        assert!(errors[0].starts_with(&failed), "{errors:#?}");
        assert!(errors[0].contains("backtrace: 0: ") && !errors[0].contains("joined"), "{errors:#?}");
        let undone = match short {
            "context_create" => vec!["ERROR failed to create context 2, rc: -1, plugin: test"],
            "done" => vec!["ERROR failed to mark context 2 as done, rc: -1, plugin: test"],
            "delete" => vec!["ERROR failed to delete context 2, rc: -1, plugin: test"],
            _ => vec![],
        };
        assert_eq!(errors[1..], undone, "{name}");
    }
}

#[test]
fn they_share_a_deadline() {
    local::engine().start_ticker().unwrap();
    let timeout = Some(Duration::from_millis(20));
    let options = PluginOptions { callback_timeout: timeout, ..PluginOptions::default() };
    let endless = "(if (i32.eq (local.get 0) (i32.const 2)) (then (loop $forever (br $forever))))";
    let lines = logged(|| {
        let (_, vm) = vm_with(&guest_but(&[("log", endless)]), options);
        drop(receive(&started(&vm, "")).unwrap());
        assert!(!vm.status().unwrap().running);
    });
    let failed = "ERROR failed to call function: proxy_on_log of plugin \"test\" in context 2: it ran past its timeout";
    assert!(lines.iter().any(|line| line == failed), "{lines:#?}");
}
