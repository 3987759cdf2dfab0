//! A host function that calls back into the VM.

use std::cell::RefCell;
use std::rc::Rc;

use super::guest::guest_but;
use super::{request, started, vm};
use crate::failure::Failure;
use crate::local::{LocalHost, LocalStream};
use crate::vm::{HttpContext, PluginContext};

thread_local! {
    /// The context that the host function uses.
    static PLUGIN: RefCell<Option<Rc<PluginContext<LocalHost>>>> = const { RefCell::new(None) };
    static REQUEST: RefCell<Option<HttpContext<LocalHost>>> = const { RefCell::new(None) };
}

#[test]
fn a_callback_within_a_callback_is_refused() {
    fn call_back() {
        PLUGIN.with_borrow(|plugin| {
            let plugin = plugin.as_ref().unwrap();
            assert_eq!(plugin.on_tick(), Err(Failure::Reentrant));
            assert_eq!(plugin.start(), Err(Failure::Reentrant));
            assert!(matches!(plugin.create_http_context(LocalStream::default()), Err(Failure::Reentrant)));
            assert_eq!(plugin.vm().status(), None);
            assert_eq!(plugin.vm().plugin_context([].into()).start(), Err(Failure::Reentrant));
        });
    }
    let (host, vm) = vm(&guest_but(&[("tick", "(call $echo)")]));
    let plugin = started(&vm, "");
    PLUGIN.set(Some(Rc::clone(&plugin)));
    host.worker().during_echo = Some(call_back);
    plugin.on_tick().unwrap();
    assert_eq!(host.worker().echoes.len(), 1);
    PLUGIN.set(None);
}

#[test]
fn what_ends_while_the_guest_runs_ends_when_it_has_returned() {
    fn let_go() {
        REQUEST.take();
        PLUGIN.take();
    }
    let (host, vm) = vm(&guest_but(&[("tick", "(call $echo) (call $say (i32.const 16) (i32.const 1) (i32.const 0))")]));
    let doomed = started(&vm, "");
    let other = started(&vm, "");
    REQUEST.set(Some(request(&doomed)));
    PLUGIN.set(Some(doomed));
    host.worker().during_echo = Some(let_go);
    host.take_log();
    other.on_tick().unwrap();
    let mut log = host.take_log();
    assert_eq!(log.drain(..2).collect::<Vec<_>>(), ["proxy_on_tick 2", "0"]);
    log.sort();
    let expected = [
        "proxy_on_delete 1",
        "proxy_on_delete 3",
        "proxy_on_done 1",
        "proxy_on_done 3",
        "proxy_on_log 1",
        "proxy_on_log 3",
    ];
    assert_eq!(log, expected);
    let status = vm.status().unwrap();
    assert_eq!((status.plugin_contexts, status.http_contexts), (1, 0));
}
