//! The calls that a call makes: what it asks for, what it has to say of those whose items it takes, and what has come of them.

use super::heap::Heap;
use super::limits::Mib;
use bytes::Bytes;
use madrpc_core::call::frame::Part;
use madrpc_core::call::items::{Came, Items, broken_off};
use madrpc_core::call::{Body, CallError, ErrorKind};
use madrpc_core::limits::SCRIPT_STREAM_WINDOW;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Calls that one call may have under way at the same time.
pub(crate) const CHILDREN_MAX: usize = 16_384;

/// What an error may take that is not counted, as there are no more of them than calls.
const SMALL_ERROR_BYTES: usize = 400;

/// What results leave of what a call may hold, and errors, as a part of it: it has to see them.
const PART_LEFT: usize = 16;
const PART_LEFT_BY_ERRORS: usize = 4;

/// A call that a call makes.
pub(crate) struct ChildCall {
    /// The lane's number for it.
    pub(crate) token: u32,
    pub(crate) function: String,
    /// The encoded arguments.
    pub(crate) body: Bytes,
    /// The time it may take, where the script says so.
    pub(crate) timeout: Option<Duration>,
    /// Frames of items that it takes at first, where it takes any.
    pub(crate) credit: u32,
}

/// What came of such a call: the encoded result, or why there is none.
pub(crate) type Answer = Result<Bytes, CallError>;

/// What a call has to say of one that it has made, whose items it takes.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// So many more frames of them.
    Grant(u32),
    /// No more, and it is to end.
    GiveUp,
}

/// What has come of a call that a call has made.
pub(super) enum News {
    /// An item; so many frames are to be granted once the script has taken it.
    Item(Bytes, u32),
    /// What it has returned, after its items.
    Result(Bytes),
    End(Answer),
    /// As well, and its result has come before.
    Over,
}

impl News {
    fn bytes(&self) -> usize {
        match self {
            Self::Item(body, _) | Self::Result(body) | Self::End(Ok(body)) => body.len(),
            Self::End(Err(error)) => error.held_bytes().saturating_sub(SMALL_ERROR_BYTES),
            Self::Over => 0,
        }
    }
}

/// A call that a call has made and that has not ended.
struct OpenChildCall {
    /// Its arguments.
    args_bytes: usize,
    /// The pieces of an item that is not whole.
    partial_bytes: usize,
    /// Where its items are taken.
    items: Option<Box<Items>>,
}

/// Answers a call whose items are taken by its argument: whole, in two pieces, and as what is returned.
#[cfg(any(test, feature = "internals"))]
pub(crate) fn echo_items(lane: &mut super::Lane, call: &ChildCall) -> Answer {
    let (first, second) = call.body.split_at(call.body.len() / 2);
    let frames = [
        (Part::Item, &*call.body),
        (Part::More, first),
        (Part::Item, second),
        (Part::Result, &*call.body),
    ];
    for (number, (part, body)) in (0..).zip(frames) {
        lane.take_item(call.token, (number, part, body.into()))?;
    }
    Ok(Bytes::new())
}

/// Between the lane and its node, see [`Exchange`](super::exchange::Exchange).
#[derive(Default)]
pub(super) struct ChildCalls {
    asked: RefCell<Vec<ChildCall>>,
    orders: RefCell<Vec<(u32, Order)>>,
    news: RefCell<VecDeque<(u32, News)>>,
    /// Those that have not ended, by their tokens.
    open: RefCell<HashMap<u32, OpenChildCall, foldhash::fast::RandomState>>,
    /// What those take, and what the call has not seen.
    bytes: Cell<usize>,
    /// The arguments among it.
    args_bytes: Cell<usize>,
    last_token: Cell<u32>,
}

impl ChildCalls {
    /// Asks for a call, and gives its token; where it `streams`, for its items too. All that is asked for, and has come for it, is a
    /// part of the call's heap.
    ///
    /// # Errors
    /// In words, where too many are under way, or there is no room for its arguments.
    pub(super) fn ask(
        &self,
        function: String,
        body: Bytes,
        timeout: Option<Duration>,
        streams: bool,
        heap: &Heap,
    ) -> Result<u32, String> {
        let mut open = self.open.borrow_mut();
        if open.len() >= CHILDREN_MAX {
            return Err(format!(
                "{CHILDREN_MAX} calls of this call are under way already"
            ));
        }
        if !self.charge(body.len(), heap) {
            return Err(format!(
                "this call and calls of it hold {} already, {} of it for those, and this one wants {} more: together no more than {} \
                 (--memory-limit, or memoryMb at register)",
                Mib(heap.used_now()),
                Mib(self.bytes.get()),
                Mib(body.len()),
                Mib(heap.limit())
            ));
        }
        let token = self.last_token.get().wrapping_add(1);
        self.last_token.set(token);
        self.args_bytes.set(self.args_bytes.get() + body.len());
        let credit = if streams { SCRIPT_STREAM_WINDOW } else { 0 };
        let asked = OpenChildCall {
            args_bytes: body.len(),
            partial_bytes: 0,
            items: streams.then(|| Box::new(Items::new(credit))),
        };
        open.insert(token, asked);
        self.asked.borrow_mut().push(ChildCall {
            token,
            function,
            body,
            timeout,
            credit,
        });
        Ok(token)
    }

    /// Whether there are calls asked for, or something to say of others, since the last time.
    pub(super) fn has_asked(&self) -> bool {
        !self.asked.borrow().is_empty() || !self.orders.borrow().is_empty()
    }

    /// The calls asked for since the last time.
    pub(super) fn take_asked(&self) -> Vec<ChildCall> {
        self.asked.take()
    }

    /// Has something said of a call whose items are taken, unless that has ended.
    pub(super) fn order(&self, token: u32, order: Order, heap: &Heap) {
        let mut open = self.open.borrow_mut();
        let Some(asked) = open.get_mut(&token) else {
            return;
        };
        match (order, &mut asked.items) {
            (Order::Grant(frames), Some(items)) => items.grant(frames),
            (Order::Grant(_), None) => return,
            (Order::GiveUp, _) => {
                if let Some(asked) = open.remove(&token) {
                    self.close(&asked, heap);
                }
            }
        }
        self.orders.borrow_mut().push((token, order));
    }

    /// What is to be said since the last time.
    pub(super) fn take_orders(&self) -> Vec<(u32, Order)> {
        self.orders.take()
    }

    /// Brings a frame of an item; gives how many more are to be granted at once, and whether the lane has something to see.
    ///
    /// # Errors
    /// The stream cannot go on, as [`Items::take`] says, or as the call would hold more than it may.
    pub(super) fn take_item(
        &self,
        token: u32,
        number: u64,
        part: Part,
        body: Body<'_>,
        heap: &Heap,
    ) -> Result<(u32, bool), CallError> {
        let mut open = self.open.borrow_mut();
        let Some(OpenChildCall {
            partial_bytes,
            items: Some(items),
            ..
        }) = open.get_mut(&token)
        else {
            // It was given up, or asked for none, which its server was not told then.
            return Ok((0, false));
        };
        if !heap.admits(body.len()) {
            return Err(no_room("madrpc.stream: an item", body.len(), heap));
        }
        let came = items.take(number, part, body)?;
        self.charge(body.len(), heap);
        *partial_bytes += body.len();
        let news = match came {
            Came::Piece { frames } => {
                items.grant(frames);
                return Ok((frames, false));
            }
            Came::Item { body, frames } => News::Item(body, frames),
            Came::Result(body) => News::Result(body),
        };
        *partial_bytes = 0;
        self.news.borrow_mut().push_back((token, news));
        Ok((0, true))
    }

    /// Brings an answer. Where there is no room for it, that is what the script is told; of an error the beginning.
    pub(super) fn answer(&self, token: u32, answer: Answer, heap: &Heap) {
        let asked = self.open.borrow_mut().remove(&token);
        let items = asked.as_ref().and_then(|asked| asked.items.as_ref());
        let news = match (items, answer) {
            (Some(items), Ok(_)) if items.is_over() => News::Over,
            (Some(items), Ok(_)) if items.has_begun() => News::End(Err(broken_off())),
            (_, answer) => News::End(answer),
        };
        if let Some(asked) = &asked {
            self.close(asked, heap);
        }
        let bytes = news.bytes();
        let part_left = match &news {
            News::End(Err(_)) => PART_LEFT_BY_ERRORS,
            _ => PART_LEFT,
        };
        let has_room = bytes == 0 || heap.admits(bytes + heap.limit() / part_left);
        let news = match news {
            News::End(Err(error)) if !has_room => News::End(Err(error.abridged())),
            News::End(Ok(_)) if !has_room => {
                News::End(Err(no_room("madrpc.call: the result", bytes, heap)))
            }
            news => news,
        };
        let bytes = news.bytes();
        self.bytes.set(self.bytes.get() + bytes);
        heap.charge_anyway(bytes);
        self.news.borrow_mut().push_back((token, news));
    }

    /// Counts so many bytes more, if the call may have them; says whether it may.
    fn charge(&self, bytes: usize, heap: &Heap) -> bool {
        let may_have = heap.charge(bytes);
        if may_have {
            self.bytes.set(self.bytes.get() + bytes);
        }
        may_have
    }

    fn discharge(&self, bytes: usize, heap: &Heap) {
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        heap.discharge(bytes);
    }

    /// A call has no arguments and no pieces any more.
    fn close(&self, asked: &OpenChildCall, heap: &Heap) {
        self.discharge(asked.args_bytes + asked.partial_bytes, heap);
        let args = self.args_bytes.get().saturating_sub(asked.args_bytes);
        self.args_bytes.set(args);
    }

    /// What has come and the call has not seen.
    pub(super) fn unseen_bytes(&self) -> usize {
        self.bytes.get().saturating_sub(self.args_bytes.get())
    }

    pub(super) fn next_news(&self, heap: &Heap) -> Option<(u32, News)> {
        let next = self.news.borrow_mut().pop_front()?;
        self.discharge(next.1.bytes(), heap);
        Some(next)
    }

    pub(super) fn answer_to(&self, token: u32, heap: &Heap) -> Option<Answer> {
        let mut news = self.news.borrow_mut();
        let is_its_end = |(of, news): &(u32, News)| *of == token && matches!(news, News::End(_));
        let at = news.iter().position(is_its_end)?;
        let (_, answer) = news.remove(at)?;
        self.discharge(answer.bytes(), heap);
        match answer {
            News::End(answer) => Some(answer),
            News::Item(..) | News::Result(_) | News::Over => None,
        }
    }

    pub(super) fn has_open(&self) -> bool {
        !self.open.borrow().is_empty()
    }

    /// The next call of the lane has asked for nothing yet.
    pub(super) fn clear(&self) {
        self.asked.borrow_mut().clear();
        self.orders.borrow_mut().clear();
        self.news.borrow_mut().clear();
        self.open.borrow_mut().clear();
        self.bytes.set(0);
        self.args_bytes.set(0);
    }
}

fn no_room(what: &str, bytes: usize, heap: &Heap) -> CallError {
    let error = format!(
        "{what} takes {}, and this call and what has come for it hold {} already: together no more than {} (--memory-limit, or \
         memoryMb at register)",
        Mib(bytes),
        Mib(heap.used_now()),
        Mib(heap.limit())
    );
    CallError::may_have_run(ErrorKind::MemoryLimit, error)
}
