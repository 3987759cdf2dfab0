//! The order of callbacks in the life of a context.

use super::guest::{guest, guest_but};
use super::{request, started, vm};
use crate::abi::Action;
use crate::failure::Failure;
use crate::local::LocalStream;
use crate::pairs::PairsBuf;
use crate::state::HttpCallResponse;

#[test]
fn nothing_of_a_guest_runs_before_it_is_needed() {
    let (host, vm) = vm(&guest_but(&[]));
    let context = vm.plugin_context(b"conf".as_slice().into());
    assert!(host.take_log().is_empty());
    assert_eq!(context.id(), None);
    assert!(!vm.status().unwrap().running);
    drop(context);
    assert!(host.take_log().is_empty());
}

#[test]
fn a_request_goes_through_its_callbacks_in_order() {
    let (host, vm) = vm(&guest_but(&[]));
    let plugin = vm.plugin_context(b"conf".as_slice().into());
    let http = request(&plugin);
    assert_eq!(http.on_request_headers(3, false), Ok(Action::Continue));
    assert_eq!(http.on_request_body(10, true), Ok(Action::Continue));
    assert_eq!(http.on_request_trailers(1), Ok(Action::Continue));
    assert_eq!(http.on_response_headers(2, false), Ok(Action::Continue));
    assert_eq!(http.on_response_body(10, true), Ok(Action::Continue));
    assert_eq!(http.on_response_trailers(1), Ok(Action::Continue));
    http.finish();
    drop((http, plugin));
    let expected = [
        "proxy_on_context_create 1",
        "proxy_on_vm_start 1",
        "proxy_on_configure 1",
        "proxy_on_context_create 2",
        "proxy_on_request_headers 2",
        "proxy_on_request_body 2",
        "proxy_on_request_trailers 2",
        "proxy_on_response_headers 2",
        "proxy_on_response_body 2",
        "proxy_on_response_trailers 2",
        "proxy_on_done 2",
        "proxy_on_log 2",
        "proxy_on_delete 2",
        "proxy_on_done 1",
        "proxy_on_log 1",
        "proxy_on_delete 1",
    ];
    assert_eq!(host.take_log(), expected);
}

#[test]
fn the_vm_starts_once_with_its_first_plugin_context() {
    let (host, vm) = vm(&guest_but(&[]));
    let _contexts = [started(&vm, "a"), started(&vm, "b")];
    let expected = [
        "proxy_on_context_create 1",
        "proxy_on_vm_start 1",
        "proxy_on_configure 1",
        "proxy_on_context_create 2",
        "proxy_on_configure 2",
    ];
    assert_eq!(host.take_log(), expected);
}

#[test]
fn what_belongs_to_no_request_runs_in_the_plugin_context() {
    let (host, vm) = vm(&guest_but(&[]));
    let plugin = started(&vm, "");
    let http = request(&plugin);
    host.take_log();
    plugin.on_tick().unwrap();
    plugin.on_queue_ready(7).unwrap();
    plugin.on_http_call_response(Some(&http), 0, HttpCallResponse::default()).unwrap();
    plugin.on_grpc_receive_initial_metadata(None, 1, PairsBuf::new()).unwrap();
    plugin.on_grpc_receive(None, 1, b"message".to_vec()).unwrap();
    plugin.on_grpc_receive_trailing_metadata(None, 1, PairsBuf::new()).unwrap();
    plugin.on_grpc_close(None, 1, 0, Vec::new()).unwrap();
    plugin.on_foreign_function(None, 1, b"arguments".to_vec()).unwrap();
    let expected = [
        "proxy_on_tick 1",
        "proxy_on_queue_ready 1",
        "proxy_on_http_call_response 1",
        "proxy_on_grpc_receive_initial_metadata 1",
        "proxy_on_grpc_receive 1",
        "proxy_on_grpc_receive_trailing_metadata 1",
        "proxy_on_grpc_close 1",
        "proxy_on_foreign_function 1",
    ];
    assert_eq!(host.take_log(), expected);
}

#[test]
fn the_request_that_made_a_call_is_effective_in_its_response() {
    let (host, vm) = vm(&guest_but(&[("http_call_response", "(call $echo)"), ("tick", "(call $echo)")]));
    let plugin = started(&vm, "");
    let other = started(&vm, "");
    let http = request(&plugin);
    let id = http.id().unwrap();
    let foreign = request(&other);
    plugin.on_http_call_response(Some(&http), 0, HttpCallResponse::default()).unwrap();
    // A context that belongs to another plugin context, or is over, counts as none.
    plugin.on_http_call_response(Some(&foreign), 0, HttpCallResponse::default()).unwrap();
    http.finish();
    let _same_id = request(&plugin);
    plugin.on_http_call_response(Some(&http), 0, HttpCallResponse::default()).unwrap();
    plugin.on_tick().unwrap();
    let contexts: Vec<_> = host.worker().echoes.iter().map(|(context, _)| *context).collect();
    assert_eq!(contexts, [id, 1, 1, 1]);
}

#[test]
fn a_missing_callback_lets_everything_go_on() {
    let (host, vm) = vm(&guest(&[]));
    let plugin = started(&vm, "");
    let http = request(&plugin);
    assert_eq!(http.on_request_headers(0, true), Ok(Action::Continue));
    assert_eq!(http.on_response_body(0, true), Ok(Action::Continue));
    assert_eq!(plugin.on_tick(), Ok(()));
    drop((http, plugin));
    assert_eq!(vm.status().unwrap().plugin_contexts, 0);
    assert!(host.take_log().is_empty());
}

#[test]
fn a_plugin_answers_in_envoys_numbers() {
    let results = [
        ("request_headers", "(local.get 1)"),
        ("response_body", "(local.get 1)"),
        ("response_trailers", "(local.get 1)"),
    ];
    let (_, vm) = vm(&guest_but(&results));
    let http = request(&started(&vm, ""));
    // With a body behind the headers, and without.
    let headers = |result| [false, true].map(|end| http.on_request_headers(result, end));
    assert_eq!(headers(0), [Ok(Action::Continue), Ok(Action::Continue)]);
    assert_eq!(headers(1), [Ok(Action::PauseHeaders), Ok(Action::Pause)]);
    assert_eq!(headers(2), [Ok(Action::Continue), Ok(Action::Continue)]);
    for result in [3, 4] {
        assert_eq!(headers(result), [Ok(Action::Pause), Ok(Action::Pause)]);
    }
    assert_eq!(headers(5), [Err(Failure::BadAction(5)), Err(Failure::BadAction(5))]);
    for (result, action) in [(1, Action::Pause), (2, Action::PauseByWatermark), (3, Action::Pause)] {
        assert_eq!(http.on_response_body(result, false), Ok(action));
    }
    assert_eq!(http.on_response_body(4, false), Err(Failure::BadAction(4)));
    assert_eq!(
        [http.on_response_trailers(1), http.on_response_trailers(2)],
        [Ok(Action::Pause), Err(Failure::BadAction(2))]
    );
}

#[test]
fn a_plugin_that_answers_another_number_goes_on_living() {
    let (_, vm) = vm(&guest_but(&[("request_headers", "(local.get 1)")]));
    let http = request(&started(&vm, ""));
    assert_eq!(http.on_request_headers(0, true), Ok(Action::Continue));
    assert_eq!(http.on_request_headers(1, true), Ok(Action::Pause));
    assert_eq!(http.on_request_headers(7, true), Err(Failure::BadAction(7)));
    assert_eq!(http.on_request_headers(u32::MAX, true), Err(Failure::BadAction(-1)));
    // The action was invalid, but the instance still works.
    assert_eq!(http.on_request_headers(1, true), Ok(Action::Pause));
}

#[test]
fn end_of_stream_is_told_to_who_asks() {
    let (_, new) = vm(&guest_but(&[("request_headers", "(local.get 2)")]));
    let http = request(&started(&new, ""));
    assert_eq!(http.on_request_headers(0, false), Ok(Action::Continue));
    assert_eq!(http.on_request_headers(0, true), Ok(Action::Pause));

    // ABI 0.1.0 does not have this parameter.
    let (_, old) = vm(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_1_0"))
        (func (export "proxy_on_request_headers") (param i32 i32) (result i32) (local.get 1)))"#);
    let http = request(&started(&old, ""));
    assert_eq!(http.on_request_headers(1, true), Ok(Action::Pause));
}

#[test]
fn proxy_on_done_can_put_off_the_end() {
    let (host, vm) = vm(&guest_but(&[
        ("done", "(i32.eq (local.get 0) (i32.const 1))"),
        // The plugin context calls `proxy_done` for the context whose id the queue event brings.
        ("queue_ready", "(drop (call $effective (local.get 1))) (drop (call $done))"),
    ]));
    let plugin = started(&vm, "");
    let stream = LocalStream::default();
    let http = plugin.create_http_context(stream.clone()).unwrap();
    let id = http.id().unwrap();
    host.take_log();
    drop(http);
    assert_eq!(host.take_log(), ["proxy_on_done 2"]);
    assert_eq!(stream.owners(), 1, "the request is out of the plugin's reach");
    assert_eq!(vm.status().unwrap().http_contexts, 1);

    plugin.on_queue_ready(id).unwrap();
    assert_eq!(host.take_log(), ["proxy_on_queue_ready 1", "proxy_on_log 2", "proxy_on_delete 2"]);
    assert_eq!(vm.status().unwrap().http_contexts, 0);

    // One `proxy_done` is enough; for a context that does not wait, it does nothing.
    plugin.on_queue_ready(id).unwrap();
    plugin.on_queue_ready(1).unwrap();
    assert_eq!(host.take_log(), ["proxy_on_queue_ready 1", "proxy_on_queue_ready 1"]);
}

#[test]
fn a_plugin_context_waits_for_its_requests() {
    let (host, vm) = vm(&guest_but(&[]));
    let plugin = started(&vm, "");
    let http = request(&plugin);
    drop(plugin);
    host.take_log();
    drop(http);
    let expected = [
        "proxy_on_done 2",
        "proxy_on_log 2",
        "proxy_on_delete 2",
        "proxy_on_done 1",
        "proxy_on_log 1",
        "proxy_on_delete 1",
    ];
    assert_eq!(host.take_log(), expected);
}

#[test]
fn a_plugin_context_waits_for_a_request_that_is_not_done() {
    let (host, vm) = vm(&guest_but(&[
        ("done", "(i32.ne (local.get 0) (i32.const 3))"),
        ("tick", "(drop (call $effective (i32.const 3))) (drop (call $done))"),
    ]));
    let plugin = started(&vm, "");
    let other = started(&vm, "");
    drop(request(&plugin));
    drop(plugin);
    host.take_log();
    other.on_tick().unwrap();
    let expected = [
        "proxy_on_tick 2",
        "proxy_on_log 3",
        "proxy_on_delete 3",
        "proxy_on_done 1",
        "proxy_on_log 1",
        "proxy_on_delete 1",
    ];
    assert_eq!(host.take_log(), expected);
}

#[test]
fn a_module_starts_by_initialize_and_main() {
    let wat = r#"(module (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "initialize main start section")
        (func (export "proxy_abi_version_0_2_0"))
        (func (export "_initialize") (drop (call $log (i32.const 2) (i32.const 0) (i32.const 10))))
        (func (export "main") (param i32 i32) (result i32) (call $log (i32.const 2) (i32.const 11) (i32.const 4)))
        (func (export "_start") (drop (call $log (i32.const 2) (i32.const 16) (i32.const 5))))
        (func $section (drop (call $log (i32.const 2) (i32.const 22) (i32.const 7))))
        (start $section))"#;
    let (host, both) = vm(wat);
    let _context = started(&both, "");
    assert_eq!(host.take_log(), ["section", "initialize", "main"]);

    let (host, command) = vm(&wat.replace("_initialize", "_other"));
    let _context = started(&command, "");
    assert_eq!(host.take_log(), ["section", "start"]);
}

#[test]
fn a_start_function_may_leave_by_exit_0_but_by_no_other() {
    let wat = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0"))
        (func (export "_start") (call $exit (i32.const 0)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1)))"#;
    let (_, good) = vm(wat);
    assert_eq!(request(&started(&good, "")).on_request_headers(0, true), Ok(Action::Pause));

    let (_, bad) = vm(&wat.replace("i32.const 0", "i32.const 2"));
    assert_eq!(bad.plugin_context([].into()).start(), Err(Failure::Exit(2)));
}
