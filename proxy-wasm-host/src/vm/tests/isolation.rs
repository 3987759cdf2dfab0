//! Instances that requests have for themselves.

use std::rc::Rc;

use super::{HttpContext, LocalHost, PluginContext, VmContext, local, request, started};
use crate::abi::Action;
use crate::failure::Failure;
use crate::local::{LocalStream, logged};
use crate::plugin::{ImagePolicy, Isolation, PluginOptions};
use crate::state::HttpCallResponse;
use crate::wasm::images::Images;

/// Answers Pause if an earlier callback of this instance has written to memory; with 7 headers it
/// traps. `{configure}`, `{headers}` and `{response}` run in their callbacks.
const GUEST: &str = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
    (import "env" "proxy_register_shared_queue" (func $queue (param i32 i32 i32) (result i32)))
    (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
    (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_define_metric" (func $metric (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
    (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
    (import "env" "proxy_http_call"
        (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_stream"
        (func $grpc (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_cancel" (func $cancel (param i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "name") (data (i32.const 16) "done") (data (i32.const 32) "deleted")
    (global $seen (mut i32) (i32.const 0))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
    (func $check (param i32) (if (local.get 0) (then unreachable)))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        {configure}
        (i32.const 1))
    (func (export "proxy_on_tick") (param i32) (global.set $seen (i32.const 1)))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (local $before i32)
        (if (i32.eq (local.get 1) (i32.const 7)) (then unreachable))
        (local.set $before (i32.or (global.get $seen) (i32.load (i32.const 60000))))
        (global.set $seen (i32.const 1))
        (i32.store (i32.const 60000) (i32.const 1))
        {headers}
        (local.get $before))
    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) {response})
    (func (export "proxy_on_done") (param i32) (result i32)
        (drop (call $log (i32.const 2) (i32.const 16) (i32.const 4))) (i32.const 0))
    (func (export "proxy_on_delete") (param i32)
        (drop (call $log (i32.const 2) (i32.const 32) (i32.const 7)))))"#;

const CALL: &str = "(call $check (call $call (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 512)))";

/// The guest in a VM whose requests have instances of their own, with images or without.
fn vm(parts: [&str; 3], images: bool) -> (LocalHost, Rc<VmContext<LocalHost>>) {
    let text = GUEST.replace("{configure}", parts[0]).replace("{headers}", parts[1]).replace("{response}", parts[2]);
    let image = if images { ImagePolicy::Auto } else { ImagePolicy::Off };
    let options = PluginOptions { image, isolation: Isolation::Request, ..PluginOptions::default() };
    let (host, vm) =
        local::vm(local::plugin(text.as_bytes(), options).unwrap_or_else(|error| panic!("{error}: {text}")));
    vm.keep_images(Images::new().unwrap(), Vec::new());
    (host, vm)
}

/// Runs a test with images and without.
fn both(parts: [&str; 3], test: impl Fn(LocalHost, Rc<VmContext<LocalHost>>)) {
    for images in [false, true] {
        let (host, vm) = vm(parts, images);
        test(host, vm);
    }
}

fn headers(http: &HttpContext<LocalHost>) -> Result<Action, Failure> {
    http.on_request_headers(1, true)
}

fn instances(vm: &VmContext<LocalHost>) -> usize {
    vm.status().unwrap().instances
}

fn respond(plugin: &PluginContext<LocalHost>, http: Option<&HttpContext<LocalHost>>) -> Result<(), Failure> {
    plugin.on_http_call_response(http, 0, HttpCallResponse::default())
}

#[test]
fn a_request_finds_nothing_of_another() {
    both([""; 3], |_, vm| {
        let plugin = started(&vm, "a");
        plugin.on_tick().unwrap();
        for _ in 0..3 {
            let requests = [request(&plugin), request(&plugin)];
            assert_eq!(instances(&vm), 3);
            for http in &requests {
                assert_eq!([headers(http), headers(http)], [Ok(Action::Continue), Ok(Action::Pause)]);
            }
        }
        assert_eq!(instances(&vm), 1);
    });
}

#[test]
fn instances_are_restored_or_started() {
    for (images, want) in [(false, (4, 0)), (true, (1, 3))] {
        let (_, vm) = vm([""; 3], images);
        let plugin = started(&vm, "a");
        for _ in 0..3 {
            drop(request(&plugin));
        }
        assert_eq!((vm.status().unwrap().starts, vm.image_status().unwrap().restores), want);
    }
}

#[test]
fn each_configuration_has_its_own_image() {
    let (_, vm) = vm([""; 3], true);
    let plugins = ["a", "b", "c"].map(|configuration| started(&vm, configuration));
    for _ in 0..3 {
        for plugin in &plugins {
            assert_eq!(headers(&request(plugin)), Ok(Action::Continue));
        }
    }
    // The worker's instance, and one of each configuration.
    assert_eq!((vm.status().unwrap().starts, vm.image_status().unwrap().restores), (4, 6));
}

#[test]
fn a_failure_costs_one_request() {
    both([""; 3], |host, vm| {
        let plugin = started(&vm, "a");
        let waiting = request(&plugin);
        for _ in 0..200 {
            let bad = request(&plugin);
            bad.on_request_headers(7, true).unwrap_err();
            assert_eq!(headers(&bad), Err(Failure::Gone));
            assert_eq!(headers(&request(&plugin)), Ok(Action::Continue));
        }
        assert_eq!(headers(&waiting), Ok(Action::Continue));
        assert!(plugin.on_tick().is_ok() && vm.culprit().is_none());
        assert!(host.worker().blames.iter().all(|blame| blame.collateral == 0));
        assert_eq!(vm.status().unwrap().failures, 200);
    });
}

#[test]
fn ids_are_unique_among_the_living() {
    both([""; 3], |_, vm| {
        let plugins = [started(&vm, "a"), started(&vm, "b")];
        let requests = [request(&plugins[0]), request(&plugins[1]), request(&plugins[0])];
        let mut ids: Vec<_> = requests.iter().filter_map(HttpContext::id).collect();
        ids.extend(plugins.iter().filter_map(|plugin| plugin.id()));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5);
        let before = requests[1].id();
        drop(requests);
        assert_eq!(request(&plugins[1]).id(), before, "an id is used again");
    });
}

#[test]
fn what_a_start_changes_is_changed_once() {
    let configure = format!(
        "(call $check (call $tick (i32.const 50)))
        (call $check (call $queue (i32.const 0) (i32.const 4) (i32.const 512)))
        (call $check (call $enqueue (i32.load (i32.const 512)) (i32.const 0) (i32.const 4)))
        (call $check (call $set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i32.const 0)))
        (call $check (call $metric (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 512)))
        (call $check (call $increment (i32.load (i32.const 512)) (i64.const 1))) {CALL} {CALL}
        (call $check (call $grpc (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4)
            (i32.const 0) (i32.const 0) (i32.const 512)))
        (call $check (call $cancel (i32.load (i32.const 512))))"
    );
    both([&configure, "", ""], |host, vm| {
        let plugin = started(&vm, "a");
        for _ in 0..3 {
            assert_eq!(headers(&request(&plugin)), Ok(Action::Continue));
        }
        let worker = host.worker();
        assert_eq!((worker.queues[0].consumers.len(), worker.queues[0].items.len()), (1, 1));
        assert_eq!((worker.calls.len(), worker.metrics.len(), worker.metrics[0].value), (3, 1, 1));
        assert!(worker.shared_data.values().all(|(_, cas)| *cas == 1));
    });
}

#[test]
fn what_is_kept_in_an_image_is_not_asked_again_for_a_request() {
    let configure = "(call $check (call $tick (i32.const 50)))
        (call $check (call $queue (i32.const 0) (i32.const 4) (i32.const 512)))
        (call $check (call $metric (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 512)))
        (call $check (call $increment (i32.load (i32.const 512)) (i64.const 1)))";
    let (host, vm) = vm([configure, "", ""], true);
    let plugin = started(&vm, "a");
    host.worker().tick_periods.clear();
    for _ in 0..3 {
        assert_eq!(headers(&request(&plugin)), Ok(Action::Continue));
    }
    let worker = host.worker();
    assert_eq!((worker.queues[0].consumers.len(), worker.metrics[0].value), (1, 1));
    assert!(worker.tick_periods.is_empty());
    assert_eq!(vm.image_status().unwrap().restores, 3);
}

#[test]
fn what_a_request_changes_is_changed() {
    let headers_do = format!(
        "(call $check (call $metric (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 512)))
        (call $check (call $increment (i32.load (i32.const 512)) (i64.const 1)))
        (call $check (call $set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i32.const 0))) {CALL}"
    );
    both(["", &headers_do, ""], |host, vm| {
        let plugin = started(&vm, "a");
        for _ in 0..3 {
            headers(&request(&plugin)).unwrap();
        }
        let worker = host.worker();
        assert_eq!((worker.metrics[0].value, worker.calls.len()), (3, 3));
        assert!(worker.shared_data.values().all(|(_, cas)| *cas == 3));
    });
}

#[test]
fn a_call_belongs_to_the_request_whatever_context_makes_it() {
    let headers_do = format!("(call $check (call $effective (i32.const 1))) {CALL}");
    both(["", &headers_do, "(call $check (i32.eqz (global.get $seen)))"], |host, vm| {
        let plugin = started(&vm, "a");
        let (http, other) = (request(&plugin), request(&plugin));
        headers(&http).unwrap();
        let made = host.worker().calls[0].clone();
        assert_eq!((made.plugin_context, made.context), (1, 1));
        respond(&plugin, Some(&http)).unwrap();
        // An instance that has not seen the request would trap.
        respond(&plugin, Some(&other)).unwrap_err();
        assert_eq!(headers(&http), Ok(Action::Pause), "it lives on");
    });
}

#[test]
fn a_response_that_comes_late_finds_nothing() {
    both(["", "", "unreachable"], |_, vm| {
        let plugin = started(&vm, "a");
        let http = request(&plugin);
        http.finish();
        respond(&plugin, Some(&http)).unwrap_err();
        assert_eq!((http.id(), headers(&http)), (None, Err(Failure::Gone)));
    });
}

#[test]
fn ticks_cannot_be_asked_for_in_a_request() {
    both(["", "(call $check (i32.ne (call $tick (i32.const 5)) (i32.const 10)))", ""], |host, vm| {
        let plugin = started(&vm, "a");
        assert_eq!(headers(&request(&plugin)), Ok(Action::Continue));
        assert!(host.worker().tick_periods.is_empty());
    });
}

#[test]
fn the_end_of_a_request_waits_for_nothing() {
    both([""; 3], |host, vm| {
        let plugin = started(&vm, "a");
        let lines = logged(|| drop(request(&plugin)));
        assert_eq!(host.take_log(), ["done", "deleted"]);
        assert!(lines.iter().all(|line| line.starts_with("INFO")), "{lines:?}");
        assert_eq!((instances(&vm), vm.status().unwrap().http_contexts), (1, 0));
    });
}

#[test]
fn a_start_that_fails_is_not_repeated_for_each_request() {
    // The worker's instance sets shared data; those of requests find it, and fail.
    let text = r#"(module
        (import "env" "proxy_get_shared_data" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "name")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (if (i32.eqz (call $get (i32.const 0) (i32.const 4) (i32.const 64) (i32.const 68) (i32.const 72)))
                (then unreachable))
            (drop (call $set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i32.const 0)))
            (i32.const 1)))"#;
    let options = PluginOptions { isolation: Isolation::Request, ..PluginOptions::default() };
    let (host, vm) = local::vm(local::plugin(text.as_bytes(), options).unwrap());
    let plugin = started(&vm, "a");
    let open = || plugin.create_http_context(LocalStream::default()).err();
    assert!(matches!(open(), Some(Failure::Trap(_))));
    assert!(matches!(open(), Some(Failure::Trap(_))));
    assert!(matches!(open(), Some(Failure::Unavailable { .. })));
    assert_eq!((instances(&vm), vm.status().unwrap().failures), (1, 2));
    host.worker().shared_data.clear();
    assert!(matches!(open(), Some(Failure::Unavailable { .. })), "it waits");
}

#[test]
fn requests_go_on_while_the_workers_instance_is_not_there() {
    let (_, vm) = vm(["", "", ""], true);
    let plugin = started(&vm, "a");
    let waiting = request(&plugin);
    // A call of the plugin context fails, and with it the worker's instance.
    let (_, failing) = self::vm(["", "", "unreachable"], true);
    let other = started(&failing, "a");
    let kept = request(&other);
    respond(&other, None).unwrap_err();
    assert_eq!((headers(&kept), headers(&request(&other))), (Ok(Action::Continue), Ok(Action::Continue)));
    assert_eq!(headers(&waiting), Ok(Action::Continue));
}

#[test]
fn a_configuration_that_is_refused_fails_each_request() {
    both(["(return (i32.const 0))", "", ""], |_, vm| {
        let plugin = vm.plugin_context(b"a"[..].into());
        plugin.start().unwrap_err();
        assert!(matches!(plugin.create_http_context(LocalStream::default()).err(), Some(Failure::Refused(_))));
        assert_eq!(instances(&vm), 1);
    });
}
