//! What a callback means for the message that its plugin saw, and what ends a response.

use crate::Action;

/// What the server is to do with a request or a response after callbacks of its plugins.
#[derive(Debug)]
pub enum Verdict<A> {
    /// Continue with the next step.
    Continue,
    /// Wait until a plugin resumes the request or response.
    Pause,
    /// Wait, and read no more of a body than may wait. The plugin's next call sees what is new.
    PauseByWatermark,
    /// Send this answer instead of the upstream's response.
    Answer(A),
    /// Close the request: a plugin failed, and its failure policy is `closed`.
    Fail,
    /// Close the client's connection without an answer.
    Close,
}

/// What a plugin wants sent instead of a response.
pub trait Answer {
    /// The status, if the server's own page for it is to be sent.
    fn page(&self) -> Option<u32>;
}

/// How a request, or its response, ends early.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending<A> {
    /// A plugin's answer replaces the response.
    Answer(A),
    /// The server's page of this status replaces the response.
    Page(u32),
    /// The client is cut off.
    Cut,
}

/// The status of the page that a client gets if a plugin failed.
const UNAVAILABLE: u32 = 503;

impl<A: Answer> Verdict<A> {
    /// The verdict after a callback that has returned `action`, and may have closed the stream or
    /// left an answer.
    #[inline]
    pub fn of(action: Action, is_closed: bool, answer: impl FnOnce() -> Option<A>) -> Self {
        if is_closed {
            return Self::Close;
        }
        match (answer(), action) {
            (Some(answer), _) => Self::Answer(answer),
            (None, Action::Continue) => Self::Continue,
            (None, Action::Pause | Action::PauseHeaders) => Self::Pause,
            (None, Action::PauseByWatermark) => Self::PauseByWatermark,
        }
    }

    /// The same, for a message of which as much waits as comes.
    #[inline]
    pub fn without_watermark(self) -> Self {
        if let Self::PauseByWatermark = self { Self::Pause } else { self }
    }

    /// How the message ends; `None` if it continues, or waits. If the response's header is sent,
    /// nothing can replace the response: the client is cut off, so that it gets nothing of what the
    /// plugin wanted to replace.
    #[inline]
    pub fn ending(self, header_sent: bool) -> Option<Ending<A>> {
        match self {
            Self::Continue | Self::Pause | Self::PauseByWatermark => None,
            Self::Answer(_) | Self::Fail if header_sent => Some(Ending::Cut),
            Self::Answer(answer) => Some(answer.page().map_or(Ending::Answer(answer), Ending::Page)),
            Self::Fail => Some(Ending::Page(UNAVAILABLE)),
            Self::Close => Some(Ending::Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Text(Option<u32>);

    impl Answer for Text {
        fn page(&self) -> Option<u32> {
            self.0
        }
    }

    #[test]
    fn a_close_counts_before_an_answer_and_an_answer_before_the_action() {
        let answer = || Some(Text(None));
        assert!(matches!(Verdict::of(Action::Pause, true, answer), Verdict::Close));
        assert!(matches!(Verdict::of(Action::Pause, false, answer), Verdict::Answer(Text(None))));
        assert!(matches!(Verdict::of(Action::Pause, false, || None::<Text>), Verdict::Pause));
        assert!(matches!(Verdict::of(Action::Continue, false, || None::<Text>), Verdict::Continue));
    }

    #[test]
    fn a_response_is_replaced_until_its_header_is_sent() {
        type Of = Verdict<Text>;
        assert_eq!(Of::Answer(Text(None)).ending(false), Some(Ending::Answer(Text(None))));
        assert_eq!(Of::Answer(Text(Some(400))).ending(false), Some(Ending::Page(400)));
        assert_eq!(Of::Fail.ending(false), Some(Ending::Page(503)));
        for verdict in [Of::Answer(Text(None)), Of::Answer(Text(Some(400))), Of::Fail] {
            assert_eq!(verdict.ending(true), Some(Ending::Cut));
        }
    }

    #[test]
    fn a_closed_stream_is_cut_and_a_paused_one_waits() {
        for header_sent in [false, true] {
            assert_eq!(Verdict::<Text>::Close.ending(header_sent), Some(Ending::Cut));
            assert_eq!(Verdict::<Text>::Pause.ending(header_sent), None);
            assert_eq!(Verdict::<Text>::Continue.ending(header_sent), None);
        }
    }
}
