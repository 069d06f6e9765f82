//! Work on several threads whose results come in the order of what it was done to.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

/// An item, and where its result is awaited.
type Job<T, O> = (T, SyncSender<O>);

/// What `work` makes of each of `items`, in order. The items are taken by whoever takes the results, a few
/// more of them than there are threads; nothing else is kept.
pub(crate) fn in_order<I, O>(
    threads: usize,
    items: I,
    work: impl Fn(I::Item) -> O + Send + Sync + 'static,
) -> InOrder<I, O>
where
    I: Iterator,
    I::Item: Send + 'static,
    O: Send + 'static,
{
    let (jobs, queue) = channel::<Job<I::Item, O>>();
    let (queue, work) = (Arc::new(Mutex::new(queue)), Arc::new(work));
    for _ in 0..threads.max(1) {
        let (queue, work) = (Arc::clone(&queue), Arc::clone(&work));
        thread::spawn(move || {
            while let Some((item, answer)) = next_job(&queue) {
                // Nobody waits any more when the results are no longer wanted.
                let _ = answer.send(work(item));
            }
        });
    }
    InOrder { items, jobs, waiting: VecDeque::new(), ahead: threads.max(1) + 1 }
}

fn next_job<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().expect("taking a job does not panic").recv().ok()
}

/// See [`in_order`]. Its threads end with it.
pub(crate) struct InOrder<I: Iterator, O> {
    items: I,
    jobs: Sender<Job<I::Item, O>>,
    waiting: VecDeque<Receiver<O>>,
    /// Items that are worked on, or done and not yet taken.
    ahead: usize,
}

impl<I: Iterator, O> Iterator for InOrder<I, O> {
    type Item = O;

    fn next(&mut self) -> Option<O> {
        while self.waiting.len() < self.ahead {
            let Some(item) = self.items.next() else { break };
            let (answer, result) = sync_channel(1);
            self.jobs.send((item, answer)).expect("threads work as long as there are jobs");
            self.waiting.push_back(result);
        }
        Some(self.waiting.pop_front()?.recv().expect("the work does not panic"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn results_come_in_order_whoever_is_faster() {
        for threads in 0..4 {
            let slow_when_even = |item: u64| {
                thread::sleep(std::time::Duration::from_micros(300 * (1 - item % 2)));
                item * 2
            };
            let results: Vec<_> = in_order(threads, 0..100, slow_when_even).collect();
            assert_eq!(results, (0..100).map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_is_taken_than_is_needed() {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let items = (0..100).inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let mut results = in_order(2, items, |item| item);
        assert_eq!(results.next(), Some(0));
        assert_eq!(taken.load(Ordering::Relaxed), 3);
        drop(results);
        assert_eq!(Arc::strong_count(&taken), 1);
    }
}
