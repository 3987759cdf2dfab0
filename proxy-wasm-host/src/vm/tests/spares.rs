//! Instances that requests have left for the next ones.

use std::rc::Rc;

use super::{HttpContext, LocalHost, PluginContext, VmContext, local, request, started};
use crate::abi::{Action, LogLevel};
use crate::limits::images::{SPARE_MEMORY, SPARE_SLACK, SPARES, SPARES_MEMORY};
use crate::plugin::{ImagePolicy, Isolation, PluginOptions};
use crate::wasm::images::{Images, forget_pagemap};

/// Its memory has 15 pages, less than may be written, with data in the first and in the last but one. With one header a request
/// records a number that depends on all of its memory and all of its globals. With more, it runs
/// `{leave}`.
const GUEST: &str = r#"(module
    (import "env" "proxy_define_metric" (func $metric (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
    (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
    (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_log_level" (func $level (param i32) (result i32)))
    (memory (export "memory") 15)
    (data (i32.const 0) "sum") (data (i32.const 900000) "data") (data $passive "passive segment")
    (data (i32.const 16) "declare_property") (data (i32.const 48) "\0a\01a\10\01")
    (global $a (mut i32) (i32.const 1)) (global $b (mut i64) (i64.const 2)) (global $c (mut f32) (f32.const 3))
    (global $d (mut f64) (f64.const 4)) (global $e (mut v128) (v128.const i64x2 5 6))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
    (func $fill (param $from i32) (param $to i32)
        (memory.fill (local.get $from) (i32.const 0x5e) (i32.sub (local.get $to) (local.get $from))))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $metric (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 512)))
        (global.set $b (i64.const 7))
        (i64.store (i32.const 500000) (i64.const 8))
        {configure}
        (i32.const 1))
    (func (export "proxy_wasm_on_restored") {restored})
    (func $sum (result i64) (local $at i32) (local $sum i64)
        (loop $next
            (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.load (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
        (i64.xor (local.get $sum) (i64.xor
            (i64.mul (i64.const 1000003) (i64.extend_i32_s (global.get $a)))
            (i64.xor (i64.mul (i64.const 1000033) (global.get $b)) (i64.xor
                (i64.extend_i32_s (i32.reinterpret_f32 (global.get $c)))
                (i64.xor (i64.reinterpret_f64 (global.get $d)) (i64.xor
                    (i64x2.extract_lane 0 (global.get $e)) (i64.mul (i64.const 1000037) (i64x2.extract_lane 1 (global.get $e))))))))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (if (i32.eq (local.get 1) (i32.const 1))
            (then (drop (call $record (i32.load (i32.const 512)) (call $sum))))
            (else {leave}))
        (i32.const 0)))"#;

const GLOBALS: &str = "(global.set $a (i32.const 99)) (global.set $b (i64.const 99)) (global.set $c (f32.const 99))
    (global.set $d (f64.const 99)) (global.set $e (v128.const i64x2 99 99))";

type Vm = (LocalHost, Rc<VmContext<LocalHost>>, Rc<PluginContext<LocalHost>>);

fn vm(leave: &str, restored: &str) -> Vm {
    vm_with(leave, restored, "")
}

fn vm_with(leave: &str, restored: &str, configure: &str) -> Vm {
    let text = GUEST.replace("{leave}", leave).replace("{restored}", restored).replace("{configure}", configure);
    let options = PluginOptions { isolation: Isolation::Request, image: ImagePolicy::On, ..PluginOptions::default() };
    let plugin = local::plugin(text.as_bytes(), options).unwrap_or_else(|error| panic!("{error}: {text}"));
    let (host, vm) = local::vm(plugin);
    vm.keep_images(Images::new().unwrap(), Vec::new());
    let plugin = started(&vm, "a");
    // The first instance of a request may be the one that the image is made of.
    drop(request(&plugin));
    drop(request(&plugin));
    (host, vm, plugin)
}

fn spares(vm: &VmContext<LocalHost>) -> usize {
    vm.status().unwrap().spare_instances
}

fn restores(vm: &VmContext<LocalHost>) -> u64 {
    vm.image_status().unwrap().restores
}

/// What a request finds in memory and globals.
fn found(host: &LocalHost, http: &HttpContext<LocalHost>) -> u64 {
    host.worker().metrics[0].value = 0;
    http.on_request_headers(1, true).unwrap();
    host.worker().metrics[0].value
}

/// What a request finds in an instance that no request has had before.
fn fresh((host, vm, plugin): &Vm) -> u64 {
    let before: Vec<_> = (0..=spares(vm)).map(|_| request(plugin)).collect();
    assert_eq!(spares(vm), 0);
    found(host, &before[before.len() - 1])
}

fn leave(plugin: &Rc<PluginContext<LocalHost>>) {
    let _ = request(plugin).on_request_headers(2, true);
}

/// A request leaves something. Whether its instance is kept, and that the next request finds
/// nothing.
fn leaves(code: &str, kept: bool) {
    let vm = vm(code, "");
    let fresh = fresh(&vm);
    let (host, vm, plugin) = &vm;
    for _ in 0..3 {
        vm.drop_spares();
        leave(plugin);
        assert_eq!(spares(vm), usize::from(kept), "{code}");
        let next = request(plugin);
        assert_eq!(spares(vm), 0, "{code}");
        assert_eq!(found(host, &next), fresh, "{code}");
    }
}

#[test]
fn nothing_of_a_request_is_found_by_the_next() {
    for code in [
        "",
        GLOBALS,
        // In data, beside data, in what was zero, and in the last page.
        "(call $fill (i32.const 0) (i32.const 512)) (call $fill (i32.const 600) (i32.const 70000))",
        "(call $fill (i32.const 890000) (i32.const 910000))",
        "(call $fill (i32.const 499990) (i32.const 501000)) (call $fill (i32.const 650000) (i32.const 750000))",
        "(call $fill (i32.const 980000) (i32.const 983040))",
        "(memory.init $passive (i32.const 700000) (i32.const 0) (i32.const 15))",
        // Read, and then written as it was.
        "(drop (call $sum)) (i32.store (i32.const 700000) (i32.const 0))",
    ] {
        leaves(code, true);
    }
}

#[test]
fn what_cannot_be_made_as_it_was_is_not_kept() {
    leaves("(drop (memory.grow (i32.const 1)))", false);
    leaves("(drop (memory.grow (i32.const 1))) (call $fill (i32.const 983040) (i32.const 1048576))", false);
    leaves(&format!("{GLOBALS} unreachable"), false);
    leaves("(call $fill (i32.const 700000) (i32.const 710000)) (drop (i32.load (i32.const -1)))", false);
}

#[test]
fn an_instance_that_has_written_much_is_kept_if_that_is_usual() {
    let code = format!("(call $fill (i32.const 0) (i32.const {}))", 2 * SPARE_SLACK);
    let (_, vm, plugin) = vm(&code, "");
    // Usually they write less.
    for _ in 0..3 {
        leave(&plugin);
        assert_eq!(spares(&vm), 0);
        drop(request(&plugin));
        assert_eq!(spares(&vm), 1);
    }
    vm.drop_spares();
    let kept = |_| {
        leave(&plugin);
        spares(&vm) == 1
    };
    let kept: Vec<_> = (0..20).map(kept).collect();
    let first = kept.iter().position(|kept| *kept);
    assert!(first.is_some_and(|first| first > 0 && kept[first..].iter().all(|kept| *kept)), "{kept:?}");
}

#[test]
fn no_more_memory_is_kept_than_there_may_be() {
    let code = format!("(call $fill (i32.const 1000000) (i32.const {}))", 1_000_000 + SPARE_MEMORY / 2);
    let grow = format!("(drop (memory.grow (i32.const {})))", SPARE_MEMORY >> 16);
    let (_, vm, plugin) = vm_with(&code, "", &grow);
    let many: Vec<_> = (0..2 * SPARES).map(|_| request(&plugin)).collect();
    many.iter().for_each(|http| drop(http.on_request_headers(2, true)));
    drop(many);
    let most = SPARES_MEMORY / (SPARE_MEMORY / 2);
    assert!((1..=most).contains(&spares(&vm)), "{}", spares(&vm));
    // Nor one that has more than it may have.
    let all = format!("(call $fill (i32.const 900000) (i32.const {}))", 1_000_000 + SPARE_MEMORY - (1 << 16));
    let (_, vm, plugin) = vm_with(&all, "", &grow);
    vm.drop_spares();
    for _ in 0..10 {
        leave(&plugin);
        assert_eq!(spares(&vm), 0);
    }
}

#[test]
fn each_request_counts_as_restored() {
    let (_, vm, plugin) = vm("", "");
    let before = restores(&vm);
    for _ in 0..5 {
        drop(request(&plugin));
    }
    let status = vm.status().unwrap();
    assert_eq!((restores(&vm) - before, status.starts, status.instances, status.spare_instances), (5, 1, 1, 1));
    assert_eq!((status.http_contexts, status.failures), (0, 0));
}

#[test]
fn only_some_are_kept() {
    let (_, vm, plugin) = vm("", "");
    let many: Vec<_> = (0..SPARES + 5).map(|_| request(&plugin)).collect();
    drop(many);
    assert_eq!(spares(&vm), SPARES);
    // Those that were left last are taken, by requests with ids of their own.
    let many: Vec<_> = (0..SPARES + 5).map(|_| request(&plugin)).collect();
    let mut ids: Vec<_> = many.iter().map(|http| http.id().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), spares(&vm), vm.status().unwrap().instances), (SPARES + 5, 0, SPARES + 6));
}

#[test]
fn each_configuration_has_its_own() {
    let (host, vm, first) = vm("", "");
    let second = started(&vm, "another");
    drop(request(&second));
    drop(request(&second));
    assert_eq!(spares(&vm), 2);
    let [one, two] = [request(&first), request(&second)];
    assert_eq!((spares(&vm), found(&host, &one)), (0, found(&host, &two)));
    drop((one, two));
    // They go with their configuration.
    assert_eq!(spares(&vm), 2);
    drop(second);
    assert_eq!(spares(&vm), 1);
    drop(first);
    assert_eq!(spares(&vm), 0);
}

#[test]
fn the_plugin_is_told_each_time() {
    // What the plugin changes then is there, once.
    let vm = vm("", "(i32.store (i32.const 90000) (i32.add (i32.load (i32.const 90000)) (i32.const 1)))");
    let fresh = fresh(&vm);
    let (host, vm, plugin) = &vm;
    vm.drop_spares();
    for _ in 0..3 {
        assert_eq!(found(host, &request(plugin)), fresh);
        assert_eq!(spares(vm), 1);
    }
}

#[test]
fn they_end_with_an_image_that_is_given_up() {
    let (host, vm, plugin) = vm_with("", "", "(drop (call $level (i32.const 520)))");
    drop([request(&plugin), request(&plugin)]);
    assert_eq!((spares(&vm), vm.status().unwrap().starts), (2, 1));
    // The host answers otherwise than when the image was made, so instances start.
    host.worker().log_level = LogLevel::Critical;
    for starts in 2..4 {
        assert_eq!(request(&plugin).on_request_headers(2, true), Ok(Action::Continue));
        let status = vm.status().unwrap();
        assert_eq!((status.spare_instances, status.instances, status.starts), (0, 1, starts));
    }
}

#[test]
fn what_the_host_knows_of_a_request_ends_with_it() {
    // A property that the request declares is read-only when it has been set; the next one sets it.
    let declare = "(drop (call $foreign (i32.const 16) (i32.const 16) (i32.const 48) (i32.const 5) (i32.const 600) (i32.const 604)))
        (drop (call $effective (i32.const 1)))";
    let (_, vm, plugin) = vm(declare, "");
    leave(&plugin);
    let next = request(&plugin);
    assert_eq!(spares(&vm), 0);
    let place = next.own_place().unwrap();
    let mut slot = place.slot.borrow_mut();
    let state = slot.instance.as_mut().unwrap().store.data_mut();
    assert!(state.declared_properties.is_empty() && state.scratch.is_empty());
    assert_eq!(state.contexts.count(), (1, 1));
}

#[test]
fn callbacks_are_joined_over_requests() {
    let text = super::guest::guest_but(&[]);
    let options = PluginOptions { isolation: Isolation::Request, image: ImagePolicy::On, ..PluginOptions::default() };
    let (_, vm) = local::vm(local::plugin(text.as_bytes(), options).unwrap());
    vm.keep_images(Images::new().unwrap(), Vec::new());
    let plugin = started(&vm, "a");
    let is_joined = |http: &HttpContext<LocalHost>| {
        http.own_place().unwrap().slot.borrow_mut().instance.as_mut().unwrap().joined.is_some()
    };
    // The first are those that images were made of, which started.
    let joined: Vec<_> = (0..80).map(|_| is_joined(&request(&plugin))).skip(3).collect();
    let first = joined.iter().position(|joined| *joined);
    assert!(first.is_some_and(|first| first > 20 && joined[first..].iter().all(|joined| *joined)), "{joined:?}");
}

#[test]
fn without_the_systems_help_each_is_restored() {
    let vm = vm("(call $fill (i32.const 0) (i32.const 70000))", "");
    let fresh = fresh(&vm);
    let (host, vm, plugin) = &vm;
    vm.drop_spares();
    forget_pagemap();
    leave(plugin);
    let before = restores(vm);
    assert_eq!((spares(vm), found(host, &request(plugin))), (0, fresh));
    assert_eq!((spares(vm), restores(vm)), (0, before + 1));
}
