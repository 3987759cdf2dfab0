//! The effects of a plugin's failure on the plugin, on its requests and on its next instance.

use std::time::{Duration, Instant};

use super::guest::{guest, guest_but};
use super::{request, started, vm, vm_with};
use crate::abi::Action;
use crate::callbacks::Callback;
use crate::failure::{Culprit, Failure};
use crate::host::{Blame, FailedContext};
use crate::local::{self, LocalStream};
use crate::plugin::PluginOptions;

/// Traps when there is exactly one header.
const TRAP: (&str, &str) =
    ("request_headers", "(if (i32.eq (local.get 1) (i32.const 1)) (then unreachable)) (i32.const 0)");

#[test]
fn a_trap_replaces_the_instance_and_configures_it_again() {
    let (host, vm) = vm(&guest_but(&[TRAP]));
    let plugin = started(&vm, "conf");
    let broken = request(&plugin);
    let bystander = request(&plugin);
    let failure = broken.on_request_headers(1, true).unwrap_err();
    assert!(matches!(&failure, Failure::Trap(cause) if cause.to_string().contains("unreachable")), "{failure}");
    assert!(!vm.status().unwrap().running);

    // Every request that lived in the instance ends with it.
    assert_eq!(broken.on_response_headers(0, true), Err(Failure::Gone));
    assert_eq!(bystander.on_request_headers(0, true), Err(Failure::Gone));
    assert_eq!(plugin.on_tick(), Err(Failure::Gone));
    host.take_log();
    drop((broken, bystander));
    assert!(host.take_log().is_empty(), "the fresh instance does not know them");

    let next = request(&plugin);
    assert_eq!(next.on_request_headers(0, true), Ok(Action::Continue));
    assert_eq!((plugin.id(), next.id()), (Some(1), Some(3)));
    let expected = [
        "proxy_on_context_create 1",
        "proxy_on_vm_start 1",
        "proxy_on_configure 1",
        "proxy_on_context_create 3",
        "proxy_on_request_headers 3",
    ];
    assert_eq!(host.take_log(), expected);
    let status = vm.status().unwrap();
    assert_eq!((status.starts, status.failures), (2, 1));
}

#[test]
fn other_plugin_contexts_come_back_when_they_are_needed() {
    let (host, vm) = vm(&guest_but(&[TRAP]));
    let [first, second] = [started(&vm, ""), started(&vm, "")];
    request(&first).on_request_headers(1, true).unwrap_err();
    host.take_log();
    second.start().unwrap();
    assert_eq!(host.take_log(), ["proxy_on_context_create 2", "proxy_on_vm_start 2", "proxy_on_configure 2"]);
    first.start().unwrap();
    assert_eq!(host.take_log(), ["proxy_on_context_create 1", "proxy_on_configure 1"]);
}

#[test]
fn a_trap_in_a_callback_keeps_no_other_request_waiting() {
    let (_, vm) = vm(&guest_but(&[TRAP]));
    let plugin = vm.plugin_context([].into());
    for _ in 0..20 {
        request(&plugin).on_request_headers(1, true).unwrap_err();
        assert_eq!(request(&plugin).on_request_headers(0, true), Ok(Action::Continue));
    }
    assert_eq!(vm.status().unwrap().failures, 20);
}

#[test]
fn a_start_that_takes_long_is_not_repeated_at_once() {
    // Configuring takes some hundred million steps.
    let next = "(local.tee 1 (i32.add (local.get 1) (i32.const 1)))";
    let steps = format!("(loop $again (br_if $again (i32.ne (i32.const 400000000) {next}))) (i32.const 1)");
    let (_, vm) = vm(&guest_but(&[TRAP, ("configure", &steps)]));
    let begun = Instant::now();
    let plugin = started(&vm, "");
    let took = begun.elapsed();
    request(&plugin).on_request_headers(1, true).unwrap_err();
    let Err(Failure::Unavailable { retry_in_ms }) = plugin.start() else { panic!("it started") };
    assert!(u128::from(retry_in_ms) <= took.as_millis() * 10, "{retry_in_ms} ms after {took:?}");
    assert!(matches!(plugin.create_http_context(LocalStream::default()), Err(Failure::Unavailable { .. })));
    let retry_in = vm.status().unwrap().retry_in.unwrap();
    assert!(retry_in <= Duration::from_millis(retry_in_ms.into()));
}

#[test]
fn a_configuration_that_traps_must_wait_and_no_other_does() {
    // A guest that traps when it configures context 1.
    let (host, vm) =
        vm(&guest_but(&[("configure", "(if (i32.eq (local.get 0) (i32.const 1)) (then unreachable)) (i32.const 1)")]));
    let [bad, good] = [vm.plugin_context(b"bad"[..].into()), vm.plugin_context(b"good"[..].into())];
    for _ in 0..2 {
        assert!(matches!(bad.start(), Err(Failure::Trap(_))));
    }
    assert!(matches!(bad.start(), Err(Failure::Unavailable { retry_in_ms: 1..=1000 })));
    good.start().unwrap();
    host.take_log();
    assert!(matches!(bad.create_http_context(LocalStream::default()), Err(Failure::Unavailable { .. })));
    assert!(host.take_log().is_empty());
    assert_eq!(request(&good).on_request_headers(0, true), Ok(Action::Continue));
    // The same configuration again, as Lua passes it.
    drop(bad);
    let again = vm.plugin_context(b"bad"[..].into());
    assert!(matches!(again.start(), Err(Failure::Unavailable { .. })));
}

#[test]
fn the_host_learns_who_caused_a_failure_and_who_is_collateral() {
    let (host, vm) = vm(&guest_but(&[TRAP, ("tick", "unreachable")]));
    let plugin = started(&vm, "");
    let bystanders = [request(&plugin), request(&plugin)];
    let broken = request(&plugin);
    broken.on_request_headers(1, true).unwrap_err();
    let culprit = Culprit { callback: Callback::OnRequestHeaders, context: broken.id().unwrap() };
    assert_eq!(vm.culprit(), Some(culprit));
    assert_eq!(culprit.to_string(), "proxy_on_request_headers of context 4");
    drop(bystanders);
    let bystander = request(&plugin);
    plugin.on_tick().unwrap_err();
    let by_tick = Blame { by: FailedContext::Plugin(1), collateral: 1 };
    assert_eq!(host.worker().blames, [Blame { by: FailedContext::Http, collateral: 2 }, by_tick]);
    drop(bystander);
}

#[test]
fn a_trap_in_any_callback_ends_in_a_fresh_instance() {
    for name in ["context_create", "vm_start", "configure", "tick", "request_headers", "done", "log", "delete"] {
        let (_, vm) = vm(&guest_but(&[(name, "unreachable")]));
        let plugin = vm.plugin_context([].into());
        if plugin.start().is_ok()
            && plugin.on_tick().is_ok()
            && let Ok(http) = plugin.create_http_context(LocalStream::default())
        {
            let _ = http.on_request_headers(0, true);
        }
        let status = vm.status().unwrap();
        assert_eq!((status.running, status.failures, status.http_contexts), (false, 1, 0), "{name}");
        drop(plugin);
        assert_eq!(vm.status().unwrap().plugin_contexts, 0, "{name}");
    }
}

#[test]
fn an_endless_loop_meets_its_deadline() {
    local::engine().start_ticker().unwrap();
    let timeout = Some(Duration::from_millis(20));
    let endless = "(loop $forever (br $forever)) unreachable";
    let options = PluginOptions { callback_timeout: timeout, ..PluginOptions::default() };
    let (_, vm) = vm_with(&guest_but(&[("request_headers", endless)]), options);
    let plugin = started(&vm, "");
    assert_eq!(request(&plugin).on_request_headers(0, true), Err(Failure::Timeout));
    // The time for start and configuration is a different limit.
    plugin.start().unwrap();

    let options = PluginOptions { start_timeout: timeout, ..PluginOptions::default() };
    let (_, vm) = vm_with(&guest_but(&[("configure", endless)]), options);
    assert_eq!(vm.plugin_context([].into()).start(), Err(Failure::Timeout));
}

#[test]
fn exit_is_the_end_of_the_instance() {
    let (_, vm) = vm(&guest_but(&[("request_headers", "(call $exit (i32.const 0)) (i32.const 0)")]));
    let plugin = started(&vm, "");
    assert_eq!(request(&plugin).on_request_headers(0, true), Err(Failure::Exit(0)));
    assert!(!vm.status().unwrap().running);
}

#[test]
fn a_refused_configuration_stays_refused_and_harms_no_other() {
    // A guest that refuses to configure context 1.
    let (host, vm) = vm(&guest_but(&[("configure", "(i32.ne (local.get 0) (i32.const 1))")]));
    let refused = vm.plugin_context([].into());
    assert_eq!(refused.start(), Err(Failure::Refused(Callback::OnConfigure)));
    host.take_log();
    assert_eq!(refused.start(), Err(Failure::Refused(Callback::OnConfigure)));
    assert!(refused.create_http_context(LocalStream::default()).is_err());
    assert!(host.take_log().is_empty());
    let good = started(&vm, "");
    assert_eq!(request(&good).on_request_headers(0, true), Ok(Action::Continue));
    host.take_log();
    // The context was created, so it is deleted.
    drop(refused);
    assert_eq!(host.take_log(), ["proxy_on_done 1", "proxy_on_log 1", "proxy_on_delete 1"]);
}

#[test]
fn a_vm_that_refuses_to_start_is_tried_again() {
    let (_, vm) = vm(&guest_but(&[("vm_start", "(i32.const 0)")]));
    let plugin = vm.plugin_context([].into());
    assert_eq!(plugin.start(), Err(Failure::Refused(Callback::OnVmStart)));
    assert_eq!(plugin.start(), Err(Failure::Refused(Callback::OnVmStart)));
    assert!(matches!(plugin.start(), Err(Failure::Unavailable { .. })));
}

#[test]
fn deep_recursion_is_a_trap() {
    let (_, vm) = vm(&guest(&[("tick", "(call $deep)) (func $deep (call $deep)")]));
    let failure = started(&vm, "").on_tick().unwrap_err();
    assert!(matches!(&failure, Failure::Trap(cause) if cause.to_string().contains("stack")), "{failure}");
}

#[test]
fn memory_grows_to_its_limit_and_no_further() {
    let options = PluginOptions { memory_limit: 4 << 16, ..PluginOptions::default() };
    // One page is in use, and three more fit. The guest sees that growing fails, and goes on.
    let grow = "(if (i32.ne (memory.grow (local.get 1)) (i32.const -1)) (then (return (i32.const 0)))) (i32.const 1)";
    let (_, vm) = vm_with(&guest_but(&[("request_headers", grow)]), options);
    let http = request(&started(&vm, ""));
    assert_eq!(http.on_request_headers(4, true), Ok(Action::Pause));
    assert_eq!(http.on_request_headers(3, true), Ok(Action::Continue));
    assert_eq!(http.on_request_headers(1, true), Ok(Action::Pause));
    assert_eq!(vm.status().unwrap().memory_size, 4 << 16);
}
