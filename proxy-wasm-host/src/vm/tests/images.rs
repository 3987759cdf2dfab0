//! Instances that are restored from an image of one that has started.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{HttpContext, LocalHost, PluginContext, VmContext, local, request, started};
use crate::abi::Action;
use crate::failure::Failure;
use crate::plugin::{ImagePolicy, Plugin, PluginOptions};
use crate::wasm::images::Images;

/// Answers requests with Pause if what `proxy_on_configure` wrote is there: in memory and in a
/// global. It traps on a request without headers. `{start}` runs in `proxy_on_configure`,
/// `{restored}` in `proxy_wasm_on_restored`.
const GUEST: &str = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
    (import "env" "proxy_register_shared_queue" (func $queue (param i32 i32 i32) (result i32)))
    (import "env" "proxy_define_metric" (func $metric (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
    (import "env" "proxy_get_log_level" (func $level (param i32) (result i32)))
    (import "env" "proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
    (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_metric" (func $get_metric (param i32 i32) (result i32)))
    (import "env" "proxy_http_call"
        (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_shared_data" (func $set_data (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_shared_data" (func $data (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_call"
        (func $grpc_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_stream" (func $grpc_stream (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_redis_init" (func $redis_init (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_redis_call" (func $redis_call (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $configured (mut i32) (i32.const 0))
    (data (i32.const 0) "configure") (data (i32.const 16) "name") (data (i32.const 32) "restored")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $log (i32.const 2) (i32.const 0) (i32.const 9)))
        (global.set $configured (i32.add (global.get $configured) (i32.const 1)))
        (if (i32.eq (memory.size) (i32.const 1)) (then (drop (memory.grow (i32.const 9)))))
        (i32.store (i32.const 600000) (i32.add (i32.load (i32.const 600000)) (i32.const 1)))
        {start}
        (i32.ne (local.get 1) (i32.const 6)))
    (func (export "proxy_wasm_on_restored")
        (drop (call $log (i32.const 2) (i32.const 32) (i32.const 8))) {restored})
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (if (i32.eqz (local.get 1)) (then unreachable))
        (i32.and
            (i32.eq (global.get $configured) (local.get 1))
            (i32.eq (i32.load (i32.const 600000)) (local.get 1)))))"#;

struct Worker {
    host: LocalHost,
    vm: Rc<VmContext<LocalHost>>,
}

fn plugin(start: &str, restored: &str, image: ImagePolicy) -> Arc<Plugin<LocalHost>> {
    let text = GUEST.replace("{start}", start).replace("{restored}", restored);
    local::plugin(text.as_bytes(), PluginOptions { image, ..PluginOptions::default() }).unwrap()
}

/// A VM of a plugin, as another worker would have it.
fn worker(plugin: &Arc<Plugin<LocalHost>>, images: &Arc<Images>) -> Worker {
    let (host, vm) = local::vm(Arc::clone(plugin));
    vm.keep_images(Arc::clone(images), b"scope".to_vec());
    Worker { host, vm }
}

impl Worker {
    /// Registers all configurations, and starts them.
    fn start(&self, configurations: &[&str]) -> Vec<Rc<PluginContext<LocalHost>>> {
        let contexts: Vec<_> =
            configurations.iter().map(|conf| self.vm.plugin_context(conf.as_bytes().into())).collect();
        contexts.iter().for_each(|context| context.register_now());
        contexts.iter().for_each(|context| drop(context.start()));
        self.vm.keep_image();
        contexts
    }

    fn restores(&self) -> u64 {
        self.vm.image_status().unwrap().restores
    }

    fn why(&self) -> Option<String> {
        self.vm.image_status().unwrap().why
    }
}

/// Whether the guest finds that it was configured so often.
fn is_configured(http: &HttpContext<LocalHost>, times: u32) -> bool {
    http.on_request_headers(times, true) == Ok(Action::Pause)
}

#[test]
fn another_worker_restores_what_one_has_started() {
    let (images, plugin) = (Images::new().unwrap(), plugin("", "", ImagePolicy::Auto));
    let first = worker(&plugin, &images);
    let contexts = first.start(&["a", "b"]);
    assert_eq!(first.host.take_log(), ["configure", "configure"]);
    assert!(is_configured(&request(&contexts[0]), 2), "its memory is still its own");

    let second = worker(&plugin, &images);
    let contexts = second.start(&["a", "b"]);
    assert_eq!(second.host.take_log(), ["restored"]);
    assert!(is_configured(&request(&contexts[1]), 2));
    assert_eq!((second.restores(), second.vm.status().unwrap().starts), (1, 0));
    assert_eq!(second.vm.status().unwrap().memory_size, 10 << 16);
    assert_eq!([contexts[0].id(), contexts[1].id()], [Some(1), Some(2)]);
}

#[test]
fn a_trap_is_followed_by_an_instance_that_knows_nothing_of_it() {
    let (images, plugin) = (Images::new().unwrap(), plugin("", "", ImagePolicy::Auto));
    let worker = worker(&plugin, &images);
    let contexts = worker.start(&["a"]);
    for round in 1..=3 {
        request(&contexts[0]).on_request_headers(0, true).unwrap_err();
        assert!(is_configured(&request(&contexts[0]), 1));
        assert_eq!(worker.restores(), round);
    }
    assert_eq!(worker.host.take_log(), ["configure", "restored", "restored", "restored"]);
}

#[test]
fn another_plugin_or_configuration_starts_anew() {
    let (images, first) = (Images::new().unwrap(), plugin("", "", ImagePolicy::Auto));
    drop(worker(&first, &images).start(&["a", "b"]));
    let on = plugin("", "", ImagePolicy::On);
    let other = plugin("(nop)", "", ImagePolicy::Auto);
    let text = GUEST.replace("{start}", "").replace("{restored}", "");
    let options = PluginOptions { memory_limit: 32 << 20, ..PluginOptions::default() };
    let limited = local::plugin(text.as_bytes(), options).unwrap();
    for (plugin, configurations) in [
        (&first, &["a"][..]),
        (&first, &["b", "a"]),
        (&first, &["a", "b", "c"]),
        (&on, &["a", "b"]),
        (&other, &["a", "b"]),
        (&limited, &["a", "b"]),
    ] {
        let worker = worker(plugin, &images);
        let contexts = worker.start(configurations);
        assert_eq!((worker.restores(), worker.vm.status().unwrap().starts), (0, 1), "{configurations:?}");
        assert!(is_configured(&request(&contexts[0]), configurations.len() as u32));
    }
    let worker = worker(&first, &images);
    drop(worker.start(&["a", "b"]));
    assert_eq!(worker.restores(), 1);
}

#[test]
fn a_configuration_that_was_refused_stays_refused() {
    let (images, plugin) = (Images::new().unwrap(), plugin("", "", ImagePolicy::Auto));
    drop(worker(&plugin, &images).start(&["good", "refuse"]));
    let worker = worker(&plugin, &images);
    let contexts = worker.start(&["good", "refuse"]);
    assert_eq!(worker.host.take_log(), ["restored"]);
    assert!(matches!(contexts[1].start(), Err(Failure::Refused(_))));
    assert!(is_configured(&request(&contexts[0]), 2));
}

#[test]
fn what_it_asked_for_is_asked_again() {
    let start = r#"(drop (call $tick (i32.const 250)))
        (drop (call $queue (i32.const 16) (i32.const 4) (i32.const 64)))
        (drop (call $metric (i32.const 0) (i32.const 16) (i32.const 4) (i32.const 68)))
        (drop (call $increment (i32.load (i32.const 68)) (i64.const 2)))
        (drop (call $level (i32.const 72)))"#;
    let (images, plugin) = (Images::new().unwrap(), plugin(start, "", ImagePolicy::Auto));
    let first = worker(&plugin, &images);
    drop(first.start(&["a"]));
    let second = worker(&plugin, &images);
    let _contexts = second.start(&["a"]);
    assert_eq!(second.restores(), 1);
    let asked = second.host.worker();
    assert_eq!(asked.tick_periods.iter().collect::<Vec<_>>(), [(&1, &250)]);
    assert_eq!((&asked.queues[0].name[..], &asked.queues[0].consumers[..]), (&b"name"[..], &[1][..]));
    assert_eq!((&asked.metrics[0].name[..], asked.metrics[0].value), (&b"name"[..], 2));
}

#[test]
fn a_host_that_answers_otherwise_makes_it_start() {
    let start = "(drop (call $level (i32.const 72)))";
    let (images, plugin) = (Images::new().unwrap(), plugin(start, "", ImagePolicy::Auto));
    drop(worker(&plugin, &images).start(&["a"]));
    let worker = worker(&plugin, &images);
    worker.host.worker().log_level = crate::abi::LogLevel::Warn;
    let contexts = worker.start(&["a"]);
    assert_eq!((worker.restores(), worker.vm.status().unwrap().starts), (0, 1));
    assert!(worker.why().unwrap().contains("the host answers otherwise now"));
    assert!(is_configured(&request(&contexts[0]), 1));
}

#[test]
fn random_numbers_decide_by_the_operators_word() {
    let start = "(drop (call $random (i32.const 80) (i32.const 8)))";
    for (image, bytes, why) in [
        (ImagePolicy::Auto, false, Some("it drew random numbers while it started")),
        (ImagePolicy::On, true, None),
        (ImagePolicy::Off, false, None),
    ] {
        let worker = worker(&plugin(start, "", image), &Images::new().unwrap());
        drop(worker.start(&["a"]));
        let status = worker.vm.image_status().unwrap();
        assert_eq!((status.bytes.is_some(), status.why.as_deref()), (bytes, why), "{image:?}");
    }
}

#[test]
fn a_large_memory_is_not_looked_through() {
    let worker = worker(&plugin("(drop (memory.grow (i32.const 5000)))", "", ImagePolicy::On), &Images::new().unwrap());
    drop(worker.start(&["a"]));
    assert_eq!(worker.why().as_deref(), Some("its memory is larger than 256 MB"));
}

#[test]
fn what_asks_very_much_is_not_imaged() {
    let ask = "(loop $again (drop (call $level (i32.const 80)))
        (br_if $again (i32.ne (i32.const 5000) (local.tee 1 (i32.add (local.get 1) (i32.const 1))))))
        (local.set 1 (i32.const 0))";
    let worker = worker(&plugin(ask, "", ImagePolicy::On), &Images::new().unwrap());
    drop(worker.start(&["a"]));
    assert_eq!(worker.why().as_deref(), Some("it asked too much of the host"));
}

#[test]
fn what_others_may_change_is_not_imaged() {
    let images = Images::new().unwrap();
    for (start, why) in [
        ("$data (i32.const 16) (i32.const 4) (i32.const 80) (i32.const 84) (i32.const 88)", "it used shared data"),
        ("$set_data (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4) (i32.const 0)", "it used shared data"),
        ("$get_metric (i32.const 1) (i32.const 80)", "it read metrics"),
        ("$enqueue (i32.const 1) (i32.const 16) (i32.const 4)", "it used the items of queues"),
        ("$dequeue (i32.const 1) (i32.const 80) (i32.const 84)", "it used the items of queues"),
        (
            "$resolve (i32.const 16) (i32.const 0) (i32.const 16) (i32.const 4) (i32.const 80)",
            "it used the items of queues",
        ),
        (
            "$foreign (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 80) (i32.const 84)",
            "it called a foreign function",
        ),
        (
            "$http_call (i32.const 16) (i32.const 4) (i32.const 96) (i32.const 4) (i32.const 0) (i32.const 0)
                (i32.const 96) (i32.const 4) (i32.const 9) (i32.const 80)",
            "it called a server",
        ),
        (
            "$grpc_call (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4)
                (i32.const 96) (i32.const 0) (i32.const 96) (i32.const 0) (i32.const 9) (i32.const 80)",
            "it called a server",
        ),
        (
            "$grpc_stream (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4)
                (i32.const 96) (i32.const 0) (i32.const 80)",
            "it called a server",
        ),
        (
            "$redis_init (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4)
                (i32.const 9)",
            "it said how to log in to Redis",
        ),
        ("$redis_call (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4) (i32.const 80)", "it called a server"),
    ] {
        let plugin = plugin(&format!("(drop (call {start}))"), "", ImagePolicy::On);
        let why = format!("{why} while it started");
        for _ in 0..2 {
            let worker = worker(&plugin, &images);
            drop(worker.start(&["a"]));
            assert_eq!((worker.why(), worker.restores()), (Some(why.clone()), 0), "{start}");
        }
    }
}

#[test]
fn an_image_is_made_before_the_first_request_and_never_after() {
    let (images, plugin) = (Images::new().unwrap(), plugin("", "", ImagePolicy::Auto));
    let first = worker(&plugin, &images);
    // As Lua does it: contexts come one by one, with requests between.
    let a = started(&first.vm, "a");
    assert_eq!(first.vm.image_status().unwrap().bytes, None);
    assert!(is_configured(&request(&a), 1));
    assert!(first.vm.image_status().unwrap().bytes.is_some());
    let b = started(&first.vm, "b");
    assert!(is_configured(&request(&b), 2));
    request(&b).on_request_headers(0, true).unwrap_err();
    first.host.take_log();
    // The image has one of them; the other one is configured when it is needed, and imaged then.
    assert!(is_configured(&request(&b), 2));
    assert_eq!(first.host.take_log(), ["restored", "configure"]);
    request(&b).on_request_headers(0, true).unwrap_err();
    assert!(is_configured(&request(&a), 2));
    assert_eq!(first.host.take_log(), ["restored"]);
}

#[test]
fn an_image_of_what_was_restored_has_what_the_first_one_had() {
    let start =
        "(if (i32.eq (global.get $configured) (i32.const 1)) (then (i32.store (i32.const 300000) (i32.const 7))))";
    let restored = "(if (i32.ne (i32.load (i32.const 300000)) (i32.const 7)) (then unreachable))";
    let images = Images::new().unwrap();
    let worker = worker(&plugin(start, restored, ImagePolicy::Auto), &images);
    let mut contexts = vec![started(&worker.vm, "a")];
    for (configuration, times) in [("b", 2), ("c", 3)] {
        contexts.push(started(&worker.vm, configuration));
        assert!(is_configured(&request(&contexts[0]), times));
        request(&contexts[0]).on_request_headers(0, true).unwrap_err();
        assert!(contexts.iter().all(|context| context.start().is_ok()));
        assert!(is_configured(&request(&contexts[0]), times));
    }
    assert_eq!((worker.restores(), worker.why()), (2, None));
}

#[test]
fn a_context_that_has_ended_is_in_no_image_that_is_used() {
    let (images, plugin) = (Images::new().unwrap(), plugin("", "", ImagePolicy::Auto));
    let worker = worker(&plugin, &images);
    let mut contexts = worker.start(&["a", "b"]);
    drop(contexts.remove(0));
    request(&contexts[0]).on_request_headers(0, true).unwrap_err();
    worker.host.take_log();
    assert!(is_configured(&request(&contexts[0]), 1));
    assert_eq!(worker.host.take_log(), ["configure"]);
}

#[test]
fn who_fails_when_it_is_restored_starts_from_then_on() {
    let (images, plugin) = (Images::new().unwrap(), plugin("", "unreachable", ImagePolicy::Auto));
    let worker = worker(&plugin, &images);
    let contexts = worker.start(&["a"]);
    for starts in 2..4 {
        request(&contexts[0]).on_request_headers(0, true).unwrap_err();
        assert!(is_configured(&request(&contexts[0]), 1));
        assert_eq!((worker.restores(), worker.vm.status().unwrap().starts), (0, starts));
    }
    assert!(worker.why().unwrap().contains("unreachable"));
}

#[test]
fn restoring_waits_for_nothing() {
    let next = "(local.tee 1 (i32.add (local.get 1) (i32.const 1)))";
    let steps =
        format!("(loop $again (br_if $again (i32.ne (i32.const 400000000) {next}))) (local.set 1 (i32.const 0))");
    let (images, plugin) = (Images::new().unwrap(), plugin(&steps, "", ImagePolicy::Auto));
    let worker = worker(&plugin, &images);
    let contexts = worker.start(&["a"]);
    for _ in 0..20 {
        request(&contexts[0]).on_request_headers(0, true).unwrap_err();
        assert!(is_configured(&request(&contexts[0]), 1));
    }
    assert_eq!((worker.vm.status().unwrap().starts, worker.restores()), (1, 20));
    worker.vm.wait_for_images(Duration::ZERO);
}
