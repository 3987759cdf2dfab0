//! Chosen cases, one behaviour each.

use std::cell::RefCell;

use super::super::{self as response, Description};
use super::body::{Chunk, Text};
use super::server::{ANSWER, Does, Ended, INJECTED, PAGE, Sent, Server, Set};
use crate::Callback;

/// A server whose plugins do this, in this order, and then continue.
pub fn server(set: Set, does: &[(Callback, usize, Does)]) -> Server {
    let left = RefCell::new(does.to_vec());
    Server::new(
        set,
        Box::new(move |callback, slot| {
            let mut left = left.borrow_mut();
            let next = left.iter().position(|(of, by, _)| (*of, *by) == (callback, slot));
            next.map_or(Does::Continue, |position| left.remove(position).2)
        }),
    )
}

pub fn bytes(start: usize, size: usize) -> Chunk {
    Chunk { start, size, ..Chunk::default() }
}

pub fn last(start: usize, size: usize) -> Chunk {
    Chunk { last: true, ..bytes(start, size) }
}

const HEADERS: Callback = Callback::OnResponseHeaders;
const BODY: Callback = Callback::OnResponseBody;
const TRAILERS: Callback = Callback::OnResponseTrailers;

/// The second plugin holds the first piece, and the first plugin the second piece.
const BOTH_HOLD: [(Callback, usize, Does); 3] =
    [(BODY, 0, Does::Continue), (BODY, 1, Does::Pause), (BODY, 0, Does::Pause)];

pub fn places(size: usize) -> Vec<usize> {
    (0..size).collect()
}

#[test]
fn the_header_waits_for_the_first_piece_that_has_passed_the_plugins() {
    let server = server(Set::UPSTREAM, &[]);
    server.header();
    assert_eq!(*server.sent.borrow(), []);
    server.body_filter(bytes(0, 2));
    assert_eq!(*server.sent.borrow(), [Sent::Header, Sent::Bytes(vec![0, 1])]);
    assert_eq!(server.described.get(), Some((None, Description::MayChange)));
}

#[test]
fn a_header_states_the_length_of_a_body_that_is_there() {
    let server = server(Set::UPSTREAM, &[(BODY, 0, Does::Change)]);
    server.header();
    server.body_filter(last(0, 7));
    assert_eq!(server.described.get(), Some((Some(7), Description::Changed { same_length: false })));
    assert_eq!(server.body(), (places(7), true));
}

#[test]
fn a_body_that_lacks_only_its_end_waits_for_it() {
    let server = server(Set { content_length: Some(2), ..Set::UPSTREAM }, &[]);
    server.header();
    server.body_filter(bytes(0, 2));
    assert!(!server.is_header_sent());
    server.body_filter(last(2, 0));
    assert_eq!(server.body(), (places(2), true));
    assert_eq!(server.described.get(), None, "the length is right as it is");
}

#[test]
fn a_held_header_holds_the_response_and_has_a_time() {
    let server = server(Set { plugins: 2, ..Set::UPSTREAM }, &[(HEADERS, 0, Does::Pause)]);
    server.header();
    server.body_filter(last(0, 2));
    assert!(server.held.get() && server.clock.get() && server.sent.borrow().is_empty());
    server.resume(0);
    server.turn();
    assert_eq!(server.body(), (places(2), true));
    assert!(!server.held.get() && !server.clock.get());
}

#[test]
fn a_held_piece_is_joined_with_the_next_and_goes_on_behind_its_plugin() {
    let server = server(Set { plugins: 2, ..Set::UPSTREAM }, &[(BODY, 0, Does::Pause), (BODY, 0, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 2));
    assert!(!server.clock.get(), "the upstream has a timeout of its own");
    server.body_filter(last(2, 2));
    assert!(server.clock.get() && server.body() == (vec![], false));
    server.resume(0);
    server.turn();
    assert_eq!(server.body(), (places(4), true));
}

#[test]
fn a_plugin_that_pauses_by_watermark_sees_only_what_is_new() {
    let server = server(
        Set { plugins: 2, ..Set::UPSTREAM },
        &[(BODY, 0, Does::PauseByWatermark), (BODY, 0, Does::PauseByWatermark)],
    );
    server.header();
    server.body_filter(bytes(0, 2));
    server.body_filter(bytes(2, 2));
    assert_eq!((server.slots[0].shown_from.get(), server.body()), (2, (vec![], false)));
    server.body_filter(last(4, 2));
    assert_eq!(server.slots[0].shown_from.get(), 4);
    assert_eq!(server.body(), (places(6), true), "its held bytes go before");
}

#[test]
fn no_more_is_read_for_a_plugin_that_pauses_by_watermark_than_may_be_held() {
    let server = server(Set { limit: 3, ..Set::UPSTREAM }, &[(BODY, 0, Does::PauseByWatermark)]);
    server.header();
    server.body_filter(bytes(0, 4));
    assert!(server.clock.get() && server.log.borrow().is_empty(), "nothing comes by which it would be called again");
    server.body_filter(last(4, 2));
    assert_eq!((server.consumed(), server.body()), (places(4), (vec![], false)));
    server.resume(0);
    server.turn();
    assert_eq!(server.body(), (places(6), true));
    assert!(!server.clock.get() && !server.held.get());
}

#[test]
fn the_last_of_several_plugins_goes_first_when_they_resume() {
    let server = server(Set { plugins: 2, ..Set::UPSTREAM }, &BOTH_HOLD);
    server.header();
    server.body_filter(bytes(0, 2));
    server.body_filter(last(2, 2));
    server.resume(0);
    server.resume(1);
    server.turn();
    assert_eq!(server.body(), (places(4), true));
}

#[test]
fn what_a_plugin_holds_that_fails_goes_before_what_comes() {
    let server = server(Set::UPSTREAM, &[(BODY, 0, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 2));
    server.fail_open(0);
    server.body_filter(last(2, 2));
    server.turn();
    assert_eq!(server.body(), (places(4), true));
}

#[test]
fn what_the_client_has_not_taken_goes_before_what_comes() {
    let server = server(Set::UPSTREAM, &[(HEADERS, 0, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 9));
    server.unsent.set(1);
    server.fail_open(0);
    server.turn();
    assert!(server.is_header_sent() && server.body().0.is_empty(), "no plugin sees the body, and it waits");
    server.unsent.set(0);
    server.body_filter(last(9, 1));
    server.turn();
    assert_eq!(server.body(), (places(10), true));
}

#[test]
fn no_more_is_handed_out_than_a_client_takes() {
    let set = Set { from_upstream: false, ..Set::UPSTREAM };
    let server = server(set, &[(BODY, 0, Does::Change), (BODY, 0, Does::Change), (BODY, 0, Does::Change)]);
    server.header();
    server.body_filter(last(0, 40));
    assert!(server.body().0.len() < 40 && server.held.get());
    while !server.body().1 {
        server.unsent.set(0);
        server.turn();
        server.body_filter(Chunk::default());
    }
    assert_eq!(server.body().0, places(40));
}

#[test]
fn bytes_wait_for_a_plugin_that_has_no_room_while_it_calls() {
    let server = server(Set { limit: 3, ..Set::UPSTREAM }, &[(BODY, 0, Does::Pause)]);
    server.header();
    server.slots[0].calls.set(true);
    server.body_filter(bytes(0, 2));
    server.body_filter(last(2, 2));
    assert!(server.held.get() && server.log.borrow().is_empty());
    server.slots[0].calls.set(false);
    server.resume(0);
    server.turn();
    assert_eq!(server.body(), (places(4), true));
}

#[test]
fn more_than_a_plugin_may_hold_is_a_page_of_500() {
    let server = server(Set { limit: 3, ..Set::UPSTREAM }, &[(BODY, 0, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 4));
    let line = "plugin \"p\" holds 4 bytes of a response, more than wasm_body_buffer_size (3)";
    assert_eq!(*server.log.borrow(), [line]);
    server.turn();
    assert_eq!(server.ended.get(), Some(Ended::Page(500)));
    assert_eq!(server.body(), (vec![PAGE], true));
}

#[test]
fn an_answer_replaces_what_is_held_until_the_header_is_sent() {
    let server = server(Set { plugins: 2, ..Set::UPSTREAM }, &[(BODY, 0, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 2));
    server.answer(Text(None));
    server.body_filter(last(2, 2));
    assert_eq!(server.body(), (vec![ANSWER], true));
    assert_eq!(server.consumed(), places(4));
}

#[test]
fn after_the_header_an_answer_cuts_the_client_off() {
    let server = server(Set::UPSTREAM, &[(BODY, 0, Does::Continue), (BODY, 0, Does::Answer)]);
    server.header();
    server.body_filter(bytes(0, 2));
    server.body_filter(last(2, 2));
    assert_eq!(server.ended.get(), Some(Ended::Cut));
    server.turn();
    assert_eq!((server.body(), server.is_gone()), ((places(2), false), true));
}

#[test]
fn what_is_held_too_long_is_a_page_of_504() {
    let server = server(Set::UPSTREAM, &[(HEADERS, 0, Does::Pause)]);
    server.header();
    server.time_out();
    assert_eq!(server.ended.get(), Some(Ended::Page(504)));
    assert_eq!(*server.log.borrow(), ["plugin \"p\" held the response past wasm_pause_timeout"]);
}

#[test]
fn a_plugin_that_resumes_as_the_time_ends_is_in_time_and_the_others_have_theirs() {
    let set = Set { plugins: 2, from_upstream: false, ..Set::UPSTREAM };
    let server = server(set, &BOTH_HOLD);
    server.header();
    server.body_filter(bytes(0, 2));
    server.body_filter(bytes(2, 2));
    server.resume(1);
    server.time_out();
    assert_eq!((server.ended.get(), server.body().0), (None, places(2)));
    assert!(server.clock.get(), "for the other one");
}

#[test]
fn a_page_waits_while_a_thread_reads_a_file() {
    let server = server(Set::UPSTREAM, &[(HEADERS, 0, Does::Pause)]);
    server.header();
    server.in_file_io.set(true);
    server.time_out();
    assert!(!server.is_gone() && server.held.get() && server.is_woken.get());
    server.in_file_io.set(false);
    server.turn();
    assert_eq!(server.ended.get(), Some(Ended::Page(504)));
}

#[test]
fn what_cannot_wait_is_not_held() {
    let server = server(Set { cannot_wait: true, ..Set::UPSTREAM }, &[(HEADERS, 0, Does::Pause)]);
    server.header();
    assert_eq!(*server.log.borrow(), ["plugin \"p\" cannot hold this"]);
    assert_eq!((server.ended.get(), server.body()), (Some(Ended::Page(500)), (vec![PAGE], true)));
}

#[test]
fn a_response_that_its_upstream_does_not_end_is_a_502_or_is_sent_without_its_end() {
    let flush = Chunk { flush: true, ..Chunk::default() };
    let held = server(Set::UPSTREAM, &[(BODY, 0, Does::Pause)]);
    held.header();
    held.body_filter(bytes(0, 2));
    held.upstream_is_active.set(false);
    held.body_filter(flush);
    held.turn();
    assert_eq!(held.ended.get(), Some(Ended::Page(502)));

    let begun = server(Set::UPSTREAM, &[]);
    begun.header();
    begun.body_filter(bytes(0, 2));
    begun.upstream_is_active.set(false);
    begun.body_filter(flush);
    assert_eq!((begun.body(), begun.held.get()), ((places(2), false), false));
}

#[test]
fn the_end_of_the_body_waits_for_the_trailers() {
    let set = Set { plugins: 2, trailers: 1, ..Set::UPSTREAM };
    let server = server(set, &[(TRAILERS, 0, Does::Pause)]);
    server.header();
    server.body_filter(last(0, 2));
    assert!(server.body().0.is_empty() && server.clock.get());
    server.resume(0);
    server.turn();
    assert_eq!(server.body(), (places(2), true));
}

#[test]
fn a_status_without_a_body_drops_the_body_that_its_source_sends() {
    let server = server(Set::UPSTREAM, &[(BODY, 0, Does::SetNoBody)]);
    server.header();
    server.body_filter(bytes(0, 2));
    server.body_filter(last(2, 2));
    assert_eq!(*server.sent.borrow(), [Sent::Header]);
    assert_eq!(server.consumed(), places(4));
}

#[test]
fn a_post_action_leaves_the_plugins_out() {
    let server = server(Set::UPSTREAM, &[(BODY, 0, Does::Pause)]);
    server.header();
    server.body_filter(last(0, 2));
    server.post_action.set(true);
    response::leave(&server);
    assert!(!server.held.get() && !server.clock.get() && server.state.holder().is_none());
}

#[test]
fn lua_keeps_a_piece_and_passes_it_on_with_the_next() {
    let server = server(Set { by_lua: 1, ..Set::UPSTREAM }, &[(BODY, 0, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 2));
    assert!(server.body().0.is_empty() && !server.held.get() && !server.clock.get());
    server.body_filter(last(2, 2));
    assert_eq!(server.body(), (places(4), true));
}

#[test]
fn lua_keeps_the_end_until_its_plugin_resumes() {
    let set = Set { plugins: 2, by_lua: 2, ..Set::UPSTREAM };
    let server = server(set, &[(BODY, 0, Does::Pause), (BODY, 0, Does::Pause), (BODY, 1, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 2));
    server.body_filter(last(2, 2));
    assert!(server.held.get() && server.clock.get());
    server.resume(0);
    server.turn();
    assert_eq!(server.body(), (places(4), true));
    assert!(!server.held.get() && !server.clock.get());
}

#[test]
fn an_answer_of_luas_header_filter_replaces_a_body_that_waits_already() {
    for pauses in [&[][..], &[(HEADERS, 0, Does::Pause)]] {
        let set = Set { plugins: 2, by_lua: 1, ..Set::UPSTREAM };
        let server = server(set, &[pauses, &[(HEADERS, 1, Does::Answer)]].concat());
        server.header();
        server.body_filter(last(0, 2));
        server.resume(0);
        server.turn();
        assert_eq!((server.body(), server.consumed()), ((vec![ANSWER], true), places(2)));
    }
}

#[test]
fn a_resumption_counts_once_and_for_a_holder_only() {
    let server = server(Set::UPSTREAM, &[(HEADERS, 0, Does::Pause)]);
    server.header();
    assert!(!server.state.resume(1));
    assert!(server.state.resume(0) && server.state.resume(0));
    let resumed = server.state.take_resumed();
    assert_eq!((resumed, server.state.take_resumed()), (vec![0], vec![]));
}

#[test]
fn what_is_injected_goes_before_the_piece_and_past_the_plugins_behind() {
    let set = Set { plugins: 2, ..Set::UPSTREAM };
    let server = server(set, &[(BODY, 0, Does::Inject), (BODY, 1, Does::Pause), (BODY, 1, Does::Continue)]);
    server.header();
    server.body_filter(bytes(0, 2));
    server.body_filter(last(2, 2));
    assert_eq!(server.body(), (vec![INJECTED, 0, 1, 2, 3], true));
    assert_eq!(server.described.get(), Some((None, Description::Changed { same_length: false })));
}

#[test]
fn what_is_injected_from_elsewhere_goes_before_what_is_held() {
    let server = server(Set { plugins: 2, ..Set::UPSTREAM }, &[(BODY, 1, Does::Pause), (BODY, 1, Does::Pause)]);
    server.header();
    assert!(server.inject(1, false), "the header waits for the body");
    server.body_filter(last(0, 2));
    assert!(server.inject(1, false));
    assert!(!server.inject(0, false), "the end has passed this plugin");
    server.turn();
    assert_eq!(server.body(), (vec![INJECTED + 1, INJECTED + 1], false));
    server.resume(1);
    server.turn();
    assert_eq!(server.body(), (vec![INJECTED + 1, INJECTED + 1, 0, 1], true));
}

#[test]
fn an_injected_end_takes_the_place_of_the_rest() {
    for does in [Does::InjectEnd, Does::InjectEndAndPause] {
        let server = server(Set { plugins: 2, ..Set::UPSTREAM }, &[(BODY, 0, Does::Continue), (BODY, 0, does)]);
        server.header();
        server.body_filter(bytes(0, 2));
        server.body_filter(bytes(2, 2));
        assert_eq!(server.body(), (vec![0, 1, INJECTED], true));
        assert!(!server.inject(0, false), "there is no body any more");
        server.body_filter(bytes(4, 2));
        assert_eq!((server.body(), server.consumed()), ((vec![0, 1, INJECTED], true), places(6)));
        server.turn();
        assert!(!server.held.get());
    }
}

#[test]
fn an_injected_end_takes_the_place_of_what_is_held() {
    let server = server(Set::UPSTREAM, &[(BODY, 0, Does::Pause)]);
    server.header();
    server.body_filter(last(0, 2));
    assert!(server.inject(0, true) && !server.inject(0, true));
    server.turn();
    assert_eq!(server.body(), (vec![INJECTED], true));
    assert!(!server.held.get() && !server.clock.get() && server.nothing_waits());
    assert_eq!(server.described.get(), Some((Some(1), Description::Changed { same_length: false })));
}

#[test]
fn a_plugin_behind_may_hold_an_injected_end() {
    let set = Set { plugins: 2, ..Set::UPSTREAM };
    let server = server(set, &[(BODY, 0, Does::InjectEnd), (BODY, 1, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 2));
    assert!(server.clock.get() && server.body() == (vec![], false));
    server.body_filter(bytes(2, 2));
    server.resume(1);
    server.turn();
    server.turn();
    assert_eq!(server.body(), (vec![INJECTED], true));
    assert!(!server.held.get());
}

#[test]
fn nothing_is_injected_before_or_behind_the_body() {
    let server = server(Set::UPSTREAM, &[(HEADERS, 0, Does::Pause)]);
    assert!(!server.inject(0, false));
    server.header();
    assert!(!server.inject(0, false), "the header is held");
    server.resume(0);
    server.body_filter(last(0, 2));
    server.turn();
    assert!(!server.inject(0, false));
    assert_eq!(server.body(), (places(2), true));
}

#[test]
fn by_lua_what_is_injected_goes_with_the_next_piece() {
    let set = Set { by_lua: 1, ..Set::UPSTREAM };
    let server = server(set, &[(BODY, 0, Does::Inject), (BODY, 0, Does::InjectAndPause), (BODY, 0, Does::Pause)]);
    server.header();
    server.body_filter(bytes(0, 2));
    assert_eq!(server.body().0, [INJECTED, 0, 1]);
    server.body_filter(bytes(2, 2));
    assert_eq!(server.body().0, [INJECTED, 0, 1, INJECTED]);
    server.body_filter(last(4, 2));
    assert!(server.inject(0, true));
    server.turn();
    assert_eq!(server.body(), (vec![INJECTED, 0, 1, INJECTED, INJECTED], true));
}
