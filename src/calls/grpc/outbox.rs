//! The queue of messages that a plugin sends on a call or stream; hyper reads it as the request's
//! body.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyper::body::{Body, Bytes, Frame};
use proxy_wasm_host::outgoing::messages::framed;

use crate::host_memory::{Held, HostMemory};
use crate::limits::worker::GRPC_MESSAGE;

/// Messages that wait to be sent. The plugin's side and hyper's side share one queue.
#[derive(Clone, Debug)]
pub struct Outbox(Rc<RefCell<Queue>>);

#[derive(Debug)]
struct Queue {
    memory: HostMemory,
    messages: VecDeque<(Bytes, Held)>,
    /// Counts the message that hyper took last. It has been sent when hyper asks for the next one.
    sent: Option<Held>,
    bytes: usize,
    ended: bool,
    waker: Option<Waker>,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The plugin has ended the stream already.
    Ended,
    /// The message is longer than gRPC's length field can say.
    TooLong,
    /// The server does not read the messages that wait already, or the worker keeps too many bytes
    /// for the plugin.
    Full,
}

impl Outbox {
    /// Makes an empty queue.
    pub fn new(memory: HostMemory) -> Self {
        let (messages, sent, bytes, ended, waker) = (VecDeque::new(), None, 0, false, None);
        Self(Rc::new(RefCell::new(Queue { memory, messages, sent, bytes, ended, waker })))
    }

    /// Appends a message in gRPC's frame: not compressed, with its length.
    pub fn send(&self, message: &[u8], limit: usize) -> Result<(), NotSent> {
        let mut queue = self.0.borrow_mut();
        if queue.ended {
            return Err(NotSent::Ended);
        }
        // One message may wait alone, whatever its size.
        if queue.bytes > 0 && queue.bytes + message.len() > limit {
            return Err(NotSent::Full);
        }
        let held = queue.memory.take(message.len() + GRPC_MESSAGE).map_err(|_| NotSent::Full)?;
        let frame = framed(message).ok_or(NotSent::TooLong)?;
        queue.bytes += frame.len();
        queue.messages.push_back((frame.into(), held));
        queue.wake();
        Ok(())
    }

    /// Whether the plugin has ended the stream.
    pub fn has_ended(&self) -> bool {
        self.0.borrow().ended
    }

    /// Ends the stream: no further message follows.
    pub fn end(&self) {
        let mut queue = self.0.borrow_mut();
        queue.ended = true;
        queue.wake();
    }
}

impl Queue {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Body for Outbox {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut queue = self.0.borrow_mut();
        match queue.messages.pop_front() {
            Some((message, held)) => {
                queue.bytes -= message.len();
                queue.sent = Some(held);
                Poll::Ready(Some(Ok(Frame::data(message))))
            }
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.sent = None;
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let queue = self.0.borrow();
        queue.ended && queue.messages.is_empty()
    }
}
