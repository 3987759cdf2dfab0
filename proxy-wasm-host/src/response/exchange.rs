//! What the server does for a response: the plugins of its request, the source of its bytes, the
//! client that it is sent to, and the server's loop.
//!
//! The traits are generic, and not called through a table, so that a server's buffers pass as they
//! are and a piece costs no more than if the server did all of this itself.

use std::fmt::Arguments;
use std::io;

use super::end::Stop;
use super::state::Response;
use super::verdict::{Answer, Verdict};
use crate::Callback;

/// The types of a server.
pub trait Types {
    /// The context of one plugin for this request.
    type Slot: Slot;
    /// Bytes of the body as the source has them.
    type Chunk: Chunk;
    /// Bytes of the body on their way through the plugins.
    type Piece: Piece + From<Self::Chunk>;
    /// What a plugin wants sent instead of the response.
    type Answer: Answer;
    /// What a filter returns to the server.
    type Code: Copy;
    /// All went well.
    const OK: Self::Code;
    /// The response has failed.
    const ERROR: Self::Code;
    /// The most bytes of a body that a plugin sees at once.
    const PIECE: usize;
    /// The most bytes of a body that pass the plugins in one turn of the server's loop.
    const TURN: usize;
    /// Bytes that plugins made and the client has not taken yet. Above this, no more is handed out.
    const UNSENT: usize;
}

/// A plugin of a request.
pub trait Slot {
    /// Its place in the order of the request's plugins.
    fn index(&self) -> usize;
    /// The plugin's name, for the log.
    fn name(&self) -> &str;
    /// Whether Lua calls the plugin's callbacks.
    fn is_driven_by_lua(&self) -> bool;
    /// Whether the plugin has a callback, and can be called.
    fn has(&self, callback: Callback) -> bool;
    /// Whether the plugin can change a body.
    fn may_change_body(&self) -> bool;
    /// How many bytes of a body may wait for the plugin.
    fn body_buffer_size(&self) -> usize;
    /// Whether calls that the plugin made are under way.
    fn calls_pending(&self) -> bool;
}

/// Bytes of a body as the source has them, with marks. The handle is copied, the bytes are not.
pub trait Chunk: Copy {
    /// Nothing, without marks.
    const EMPTY: Self;
    /// Whether this is nothing, without marks.
    fn is_empty(self) -> bool;
    /// The length in bytes.
    fn size(self) -> usize;
    /// Whether the body ends here.
    fn is_last(self) -> bool;
    /// Whether the output of a module of the server ends here.
    fn ends_output(self) -> bool;
    /// Whether everything up to here must be sent now.
    fn flushes(self) -> bool;
    /// Whether this only tells the server to send what it has.
    fn is_flush(self) -> bool;
    /// Tells the source that it may use the bytes' memory again.
    fn consume(self);
}

/// Bytes of a body on their way through the plugins. By default it has none.
pub trait Piece: Default {
    /// An empty piece with the end of the body.
    fn end() -> Self;
    /// The length in bytes.
    fn size(&self) -> usize;
    /// Whether the body ends here.
    fn is_last(&self) -> bool;
    /// Whether a plugin changed it.
    fn is_changed(&self) -> bool;
    /// Marks it as changed: it is not what the driver has for it.
    fn set_changed(&mut self);
    /// Appends the piece that comes after this one.
    ///
    /// # Errors
    /// If the bytes cannot be read from where the source has them.
    fn join(self, next: Self) -> io::Result<Self>;
    /// Copies the bytes, so that the source may use its memory again.
    ///
    /// # Errors
    /// As [`Self::join`].
    fn keep(&mut self) -> io::Result<()>;
    /// Drops the piece, so that the source may use its memory again.
    fn discard(self);
}

/// The plugins of a request.
pub trait Plugins: Types {
    /// The slots from an index on, in order.
    fn slots(&self, first: usize) -> impl Iterator<Item = &Self::Slot>;
    /// The slot at an index.
    fn slot(&self, index: usize) -> Option<&Self::Slot>;
    /// Opens the slots of plugins that have not met the request, because its answer came before
    /// their turn. Such a plugin sees only the response, as in Envoy.
    fn open_missing(&self) -> Verdict<Self::Answer>;
    /// Whether any plugin in the filters has a callback.
    fn any_has(&self, callback: Callback) -> bool;
    /// Whether a plugin in the filters is to see the body.
    fn sees_body(&self, slot: &Self::Slot) -> bool;
    /// Runs `proxy_on_response_headers`.
    fn on_headers(&self, slot: &Self::Slot) -> Verdict<Self::Answer>;
    /// Runs `proxy_on_response_body`, which may change the piece.
    ///
    /// # Errors
    /// If the piece is lost.
    fn on_body(&self, slot: &Self::Slot, piece: &mut Self::Piece) -> Result<Verdict<Self::Answer>, Stop<Self::Code>>;
    /// Runs `proxy_on_response_trailers`.
    fn on_trailers(&self, slot: &Self::Slot, count: u32) -> Verdict<Self::Answer>;
    /// Counts bytes of a piece that is about to be kept for a plugin. Answers false if they are
    /// more than may be kept.
    fn count(&self, slot: &Self::Slot, piece: &mut Self::Piece, bytes: usize) -> bool;
    /// Whether a plugin closed the stream.
    fn is_closed(&self) -> bool;
    /// Whether a plugin left an answer.
    fn has_answer(&self) -> bool;
    /// Takes the answer that a plugin left.
    fn take_answer(&self) -> Option<Self::Answer>;
}

/// Where the response comes from.
pub trait Source: Types {
    /// Prepares the response, of which the header has come.
    fn begin(&self);
    /// Whether an upstream makes the response, and has not ended.
    fn has_active_upstream(&self) -> bool;
    /// Whether a body follows the header.
    fn expects_body(&self) -> bool;
    /// The length of the body, if the header states it.
    fn content_length(&self) -> Option<u64>;
    /// Whether the body is fetched in parts, the next of them only if nothing is held.
    fn is_fetched_in_parts(&self) -> bool;
    /// Whether the response becomes part of another one.
    fn is_subrequest(&self) -> bool;
    /// Whether the request runs a location for its own sake (`post_action`), after the response.
    fn is_post_action(&self) -> bool;
    /// Whether a thread reads or writes a file for the request.
    fn is_in_file_io(&self) -> bool;
    /// Everything that waits.
    fn waiting(&self) -> Self::Chunk;
    /// The size of the next piece that waits.
    fn next_size(&self) -> usize;
    /// Whether the next piece is part of a larger buffer.
    fn next_is_part(&self) -> bool;
    /// Appends to what waits.
    ///
    /// # Errors
    /// If there is no memory.
    fn push_waiting(&self, chunk: Self::Chunk) -> Result<(), Stop<Self::Code>>;
    /// Takes the next piece of what waits. [`Self::give_back`] when it is used.
    ///
    /// # Errors
    /// If there is no memory.
    fn take_waiting(&self) -> Result<Self::Chunk, Stop<Self::Code>>;
    /// Gives back what [`Self::take_waiting`] returned, and to the source what is sent.
    fn give_back(&self, taken: Self::Chunk);
    /// Drops everything that waits.
    fn drop_waiting(&self);
}

/// What becomes of the header fields that describe the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Description {
    /// The body is as it came.
    Same,
    /// The body may still change, after the header is sent.
    MayChange,
    /// Plugins have changed the body.
    Changed {
        /// Whether the body is as long as it came.
        same_length: bool,
    },
}

/// Where the response goes: the filters after these, and the client.
pub trait Client: Types {
    /// Whether the header is sent.
    fn header_sent(&self) -> bool;
    /// Whether the response is only a header.
    fn header_only(&self) -> bool;
    /// Why the response cannot wait for a plugin, nor for an event, if it cannot.
    fn cannot_wait(&self) -> Option<&'static str>;
    /// Why the header cannot wait for a plugin, if it cannot.
    fn header_cannot_wait(&self) -> Option<&'static str> {
        self.cannot_wait()
    }
    /// Sends the header.
    ///
    /// # Errors
    /// If a filter fails.
    fn send_header(&self) -> Result<Self::Code, Stop<Self::Code>>;
    /// Sends a header that [`hold_header`](super::hold_header) has held behind the driver's filter.
    ///
    /// # Errors
    /// If a filter fails.
    fn send_header_behind_driver(&self) -> Result<Self::Code, Stop<Self::Code>>;
    /// Forbids cutting ranges out of the body, which may change, or comes before its header.
    fn forbid_ranges(&self);
    /// Sets the length that the header states, and what else describes the body.
    ///
    /// # Errors
    /// If there is no memory.
    fn describe(&self, length: Option<u64>, description: Description) -> Result<(), Stop<Self::Code>>;
    /// The number of trailers.
    fn trailer_count(&self) -> u32;
    /// Makes the header, if it is not sent, announce trailers.
    fn expect_trailers(&self);

    /// Puts by a piece that has passed the plugins, while the header waits for the rest.
    ///
    /// # Errors
    /// If there is no memory.
    fn put_by(&self, piece: Self::Piece) -> Result<(), Stop<Self::Code>>;
    /// The bytes that are put by.
    fn put_by_size(&self) -> usize;
    /// Drops what is put by.
    fn drop_put_by(&self);
    /// Sends what is put by, and then a piece.
    ///
    /// # Errors
    /// If a filter fails.
    fn send(&self, piece: Self::Piece) -> Result<Self::Code, Stop<Self::Code>>;
    /// Sends bytes that no plugin sees. If there are none, only drives on what the filters have.
    ///
    /// # Errors
    /// As [`Self::send`].
    fn pass(&self, chunk: Self::Chunk) -> Result<Self::Code, Stop<Self::Code>>;
    /// Sends an empty piece, which ends the body or flushes.
    ///
    /// # Errors
    /// As [`Self::send`].
    fn push(&self, at_end: bool) -> Result<Self::Code, Stop<Self::Code>>;
    /// Frees the bytes that plugins made and the client has taken. Returns how many it has not.
    fn unsent(&self) -> usize;
    /// Whether part of the response is on its way to the client.
    fn is_sending(&self) -> bool;
    /// Whether more output would only wait.
    fn is_blocked(&self) -> bool;

    /// Turns the header into that of an answer.
    ///
    /// # Errors
    /// If there is no memory.
    fn replace_header(&self, answer: &Self::Answer) -> Result<(), Stop<Self::Code>>;
    /// Sends an answer's body.
    ///
    /// # Errors
    /// As [`Self::send`].
    fn send_answer(&self, answer: Self::Answer) -> Result<Self::Code, Stop<Self::Code>>;
    /// Keeps an answer's body until [`Self::send_kept_answer`].
    fn keep_answer(&self, answer: Self::Answer);
    /// Sends the body that was kept.
    ///
    /// # Errors
    /// As [`Self::send`].
    fn send_kept_answer(&self) -> Result<Self::Code, Stop<Self::Code>>;
    /// Makes an answer of a page, for a header filter that has to send it itself.
    fn page_as_answer(&self, status: u32) -> Self::Answer;

    /// Sends the page of a status from a filter, at once.
    fn send_page(&self, status: u32) -> Self::Code;
    /// The page that the server has for a filter's result, if it is one.
    fn page_of(code: Self::Code) -> Option<u32>;
    /// Ends the request with the page of a status, from an event. The request may be gone after.
    /// `source_is_over`: the source does nothing more with the request.
    fn end_with_page(&self, status: u32, source_is_over: bool);
    /// Makes the filters fail from now on.
    fn refuse_output(&self);
    /// Cuts the client off, from an event. The request may be gone after.
    fn cut_off(&self);
    /// Ends the source's part in a request whose client has its answer, from an event. The request
    /// may be gone after.
    fn finish_answered(&self);
}

/// The server's loop.
pub trait Events: Types {
    /// Tells the server whether part of the response is held, so that it does not take the response
    /// as sent.
    fn set_held(&self, held: bool);
    /// As [`Self::set_held`], where the body is sent through.
    fn set_body_held(&self, held: bool);
    /// Starts the pause timeout.
    fn start_clock(&self);
    /// Stops the pause timeout.
    fn stop_clock(&self);
    /// Calls [`wake`](super::wake) in the next turn of the loop.
    fn wake_soon(&self);
    /// Calls [`wake`](super::wake) after some milliseconds.
    fn wake_in(&self, milliseconds: u32);
    /// Stops the timeout in which the client must take data, and looks whether it has left, because
    /// there are no data for it.
    fn wait_with_client(&self);
    /// Makes the server go on with the response. The request may be gone after.
    fn resume_writing(&self);
    /// Writes an error to the request's log.
    fn log(&self, line: Arguments<'_>);
}

/// A request and its response.
pub trait Exchange: Plugins + Source + Client + Events {
    /// How far the response has come.
    fn response(&self) -> &Response<Self::Piece>;
}
