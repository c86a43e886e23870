//! The thread that compiles kernels: a tenth of a millisecond and up for each. It is beside the shards, and where the cores are
//! taken it comes after them.
//!
//! There is one in the process. It is told of jobs over a channel, each of which is in its queue once, and says what has become of
//! them in the [table](super::table), where lanes that wait for them look. What nobody waits for any more it leaves out.

use super::specialisations::Specialisation;
use super::table::Entry;
use crate::runtime::{cpus, helpers, priority};
use madrpc_kernels::{Reason, Refused};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

/// Calls wait for it: it comes after the shards, and before HTTP.
pub(super) const NICENESS: i32 = 5;

struct Task {
    /// It may go before its turn comes, with its script.
    kernel: Weak<Entry>,
    /// Which code of it, which is gone where nobody waits for it any more; `None`: the kernel itself.
    specialisation: Option<Weak<Specialisation>>,
}

/// Has a kernel read and compiled, or compiled for further kinds of arguments.
///
/// # Errors
/// Where the system gives no thread for it.
pub(super) fn ask(
    kernel: &Arc<Entry>,
    specialisation: Option<&Arc<Specialisation>>,
) -> Result<(), Refused> {
    let task = Task {
        kernel: Arc::downgrade(kernel),
        specialisation: specialisation.map(Arc::downgrade),
    };
    let is_sent = tasks().is_some_and(|tasks| tasks.send(task).is_ok());
    is_sent.then_some(()).ok_or_else(|| Refused {
        reason: Reason::System,
        place: kernel.source().place.clone(),
        what: "the system gives no thread to compile kernels".to_owned(),
        remedy: String::new(),
    })
}

fn tasks() -> Option<&'static Sender<Task>> {
    static TASKS: OnceLock<Sender<Task>> = OnceLock::new();
    if TASKS.get().is_none() {
        let (tasks, news) = channel();
        let compiler = thread::Builder::new()
            .name("kernels".into())
            .stack_size(madrpc_kernels::STACK + (64 << 10));
        helpers::start(compiler, move || compile(&news))?;
        // Where another shard was first, this thread ends at once.
        let _ = TASKS.set(tasks);
    }
    TASKS.get()
}

fn compile(news: &Receiver<Task>) {
    // A shard may have started it, which has a core of its own.
    cpus::unpin();
    priority::lower(NICENESS);
    let mut queue = Queue::default();
    loop {
        if queue.is_empty() {
            match news.recv() {
                Ok(task) => queue.push(task),
                Err(_) => return,
            }
        }
        news.try_iter().for_each(|task| queue.push(task));
        if let Some(task) = queue.pop() {
            task.run();
        }
    }
}

/// New kernels come first: a script that loads waits for them, for others one call.
#[derive(Default)]
struct Queue {
    new: VecDeque<Task>,
    further: VecDeque<Task>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.new.is_empty() && self.further.is_empty()
    }

    fn push(&mut self, task: Task) {
        match &task.specialisation {
            None => self.new.push_back(task),
            Some(_) => self.further.push_back(task),
        }
    }

    fn pop(&mut self) -> Option<Task> {
        self.new.pop_front().or_else(|| self.further.pop_front())
    }
}

impl Task {
    fn run(&self) {
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let specialisation = match &self.specialisation {
            None => None,
            Some(asked) => match asked.upgrade() {
                None => return,
                asked => asked,
            },
        };
        let specialisation = specialisation.as_deref();
        let compile = || kernel.compile(specialisation);
        // A fault of the compiler's must not leave lanes waiting, of this kernel or of others.
        if catch_unwind(AssertUnwindSafe(compile)).is_err() {
            kernel.fail(specialisation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_kernels_come_before_further_kinds() {
        let mut queue = Queue::default();
        for specialisation in [Some(Weak::new()), None, Some(Weak::new()), None] {
            queue.push(Task {
                kernel: Weak::new(),
                specialisation,
            });
        }
        let order = std::iter::from_fn(|| queue.pop());
        let order: Vec<_> = order.map(|task| task.specialisation.is_some()).collect();
        assert_eq!(order, [false, false, true, true]);
        assert!(queue.is_empty());
    }
}
