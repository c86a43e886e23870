//! The thread that compiles kernels: a tenth of a millisecond and up for each, in which no shard serves anybody less.
//!
//! There is one in the process. It is told of kernels over a channel, and says that it is done by filling their places in the
//! table, where lanes that wait for them look.

use super::table::{Entry, Specialisation};
use crate::runtime::{cpus, helpers};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

struct Task {
    kernel: Arc<Entry>,
    /// `None`: it is new.
    specialisation: Option<Arc<Specialisation>>,
}

/// Has a new kernel read and compiled.
pub(super) fn make(kernel: &Arc<Entry>) {
    ask(Task {
        kernel: Arc::clone(kernel),
        specialisation: None,
    });
}

/// Has a kernel compiled for further kinds of arguments.
pub(super) fn specialise(kernel: &Arc<Entry>, specialisation: &Arc<Specialisation>) {
    ask(Task {
        kernel: Arc::clone(kernel),
        specialisation: Some(Arc::clone(specialisation)),
    });
}

fn ask(task: Task) {
    static TASKS: OnceLock<Option<Sender<Task>>> = OnceLock::new();
    let tasks = TASKS.get_or_init(|| {
        let (tasks, news) = channel();
        let compiler = thread::Builder::new()
            .name("kernels".into())
            .stack_size(madrpc_kernels::STACK + (64 << 10));
        helpers::start(compiler, move || compile(&news)).map(|_| tasks)
    });
    match tasks {
        Some(tasks) => {
            if let Err(unsent) = tasks.send(task) {
                unsent.0.fail();
            }
        }
        None => task.fail(),
    }
}

fn compile(tasks: &Receiver<Task>) {
    // A shard may have started it, which has a core of its own.
    cpus::unpin();
    for task in tasks {
        // A fault of the compiler's must not leave lanes waiting, of this kernel or of others.
        if catch_unwind(AssertUnwindSafe(|| task.compile())).is_err() {
            task.fail();
        }
    }
}

impl Task {
    fn compile(&self) {
        match &self.specialisation {
            None => self.kernel.compile(),
            Some(specialisation) => self.kernel.compile_for(specialisation),
        }
    }

    fn fail(&self) {
        self.kernel.fail(self.specialisation.as_deref());
    }
}
