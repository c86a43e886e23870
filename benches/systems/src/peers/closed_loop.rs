//! The load for the peers: so many callers on one thread, each of which sends its next call when its last has returned.

use crate::cores;
use crate::figures::{Clock, Figure, Load, Work};
use crate::outcome::Outcome;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::LocalSet;

/// A caller of one function, over a connection of its own or a shared one.
pub(super) trait Caller: 'static {
    /// One call; gives its result in JSON.
    async fn call(&mut self) -> Outcome<String>;
}

/// Connects, then calls from `core` for as long as the load says. Every result is checked.
pub(super) fn run<C: Caller>(
    core: usize,
    work: &Work,
    load: &Load,
    connect: impl AsyncFnOnce(usize) -> Outcome<Vec<C>> + Send,
) -> Outcome<Figure> {
    cores::on(core, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, async {
            let callers = connect(load.concurrency).await?;
            let clock = Rc::new(RefCell::new(Clock::start(load)?));
            let end = clock.borrow().end;
            let tasks: Vec<_> = callers
                .into_iter()
                .map(|mut caller| {
                    let (clock, work) = (clock.clone(), work.clone());
                    tokio::task::spawn_local(async move {
                        let mut sent = Instant::now();
                        while sent < end {
                            work.check(&caller.call().await?)?;
                            let now = Instant::now();
                            clock.borrow_mut().record(sent, now);
                            sent = now;
                        }
                        Outcome::Ok(())
                    })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            clock.borrow().figure()
        })
    })
}
