//! Chosen cases of a header that plugins hold which Lua calls.

use super::body::{Chunk, Text};
use super::cases::{bytes, last, places, server};
use super::server::{ANSWER, Does, Ended, PAGE, Sent, Server, Set};
use crate::Callback;

const LUA: Set = Set { plugins: 1, by_lua: 1, ..Set::UPSTREAM };

const HEADERS: Callback = Callback::OnResponseHeaders;
const BODY: Callback = Callback::OnResponseBody;

fn held(set: Set, also: &[(Callback, usize, Does)]) -> Server {
    let mut does = vec![(HEADERS, set.plugins - 1, Does::Pause)];
    does.extend(also);
    let server = server(set, &does);
    server.header();
    server
}

#[test]
fn the_header_and_the_body_wait_and_have_a_time() {
    let server = held(LUA, &[]);
    server.body_filter(bytes(0, 3));
    server.body_filter(last(3, 2));
    assert!(server.held.get() && server.clock.get() && server.sent.borrow().is_empty());
    assert!(!server.slots[0].end_seen.get(), "the plugin sees the body when the header has gone on");
    server.resume(0);
    server.turn();
    assert_eq!(server.body(), (places(5), true));
    assert!(!server.held.get() && !server.clock.get());
}

#[test]
fn all_that_hold_it_must_resume() {
    let server = server(Set { plugins: 2, by_lua: 2, ..LUA }, &[(HEADERS, 0, Does::Pause), (HEADERS, 1, Does::Pause)]);
    server.header();
    server.body_filter(last(0, 2));
    server.resume(1);
    server.turn();
    assert!(server.held.get() && server.clock.get() && !server.is_header_sent());
    server.resume(0);
    server.turn();
    assert_eq!(server.body(), (places(2), true));
}

#[test]
fn one_that_resumes_before_it_returns_holds_it_until_the_event() {
    let server = server(LUA, &[(HEADERS, 0, Does::PauseAndResume)]);
    server.header();
    server.body_filter(last(0, 2));
    assert!(!server.is_header_sent());
    server.turn();
    assert_eq!(server.body(), (places(2), true));
}

#[test]
fn one_that_waits_for_calls_resumes_when_all_are_answered() {
    let server = server(LUA, &[(HEADERS, 0, Does::Pause)]);
    server.slots[0].calls.set(true);
    server.header();
    server.body_filter(last(0, 2));
    server.turn();
    assert!(!server.is_header_sent());
    server.slots[0].calls.set(false);
    server.is_woken.set(true);
    server.turn();
    assert_eq!(server.body(), (places(2), true));
}

#[test]
fn one_without_calls_does_not_resume_by_itself() {
    let server = held(LUA, &[]);
    server.is_woken.set(true);
    server.turn();
    assert!(server.held.get() && !server.is_header_sent());
}

#[test]
fn an_answer_replaces_it_and_no_plugin_sees_the_answer() {
    let server = held(LUA, &[]);
    server.body_filter(bytes(0, 2));
    server.answer(Text(None));
    server.turn();
    assert_eq!(server.body(), (vec![ANSWER], true));
    server.body_filter(last(2, 2));
    assert_eq!(server.consumed().len(), 4);
}

#[test]
fn one_behind_it_that_answers_counts() {
    let does = [(HEADERS, 0, Does::Pause), (HEADERS, 1, Does::Answer)];
    let server = server(Set { plugins: 2, by_lua: 2, ..LUA }, &does);
    server.header();
    assert!(server.is_header_sent() && !server.held.get());
    server.body_filter(last(0, 2));
    assert_eq!((server.body(), server.ended.get()), ((vec![ANSWER], true), Some(Ended::Answer)));
}

#[test]
fn one_that_holds_it_too_long_makes_it_a_page_that_the_driver_leaves_alone() {
    let server = held(LUA, &[]);
    server.body_filter(bytes(0, 2));
    server.time_out();
    assert_eq!(server.body(), (vec![PAGE], true));
    assert_eq!(server.ended.get(), Some(Ended::Page(504)));
    assert!(server.state.is_over_for_driver());
}

#[test]
fn a_piece_that_the_header_waited_for_waits_with_it() {
    let set = Set { plugins: 2, by_lua: 1, ..LUA };
    for chunks in [&[last(0, 3)][..], &[bytes(0, 2), last(2, 1)]] {
        let server = held(set, &[(BODY, 0, Does::Change)]);
        chunks.iter().for_each(|chunk| server.body_filter(*chunk));
        assert!(server.slots[0].end_seen.get() == (chunks.len() == 1) && server.sent.borrow().is_empty());
        assert!(server.held.get() && server.clock.get());
        server.resume(1);
        server.turn();
        assert_eq!(server.body(), (places(3), true));
    }
}

#[test]
fn a_response_without_a_body_ends_with_its_header() {
    let server = held(Set { plugins: 2, by_lua: 1, ..LUA }, &[(HEADERS, 0, Does::SetNoBody)]);
    server.body_filter(last(0, 2));
    server.resume(1);
    server.turn();
    assert_eq!(*server.sent.borrow(), [Sent::Header]);
    assert!(server.is_without_body());
}

#[test]
fn what_cannot_wait_is_cut_off() {
    let server = held(Set { cannot_wait: true, ..LUA }, &[]);
    assert_eq!(*server.log.borrow(), ["plugin \"p\" cannot hold this"]);
    assert_eq!(server.ended.get(), Some(Ended::Cut));
    server.body_filter(Chunk::default());
    assert!(server.sent.borrow().is_empty());
}
