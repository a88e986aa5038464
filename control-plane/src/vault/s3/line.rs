//! The line to a store, for callers who wait: a small runtime of its own, and one that knows when the store is away.
//!
//! The rule: nobody waits for long. One call is bounded; once the store did not answer, calls fail at once until it
//! answers again, which is asked in the background. So a store that is away delays the writer once, and not every time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::{runtime::Runtime, task::JoinSet, time::timeout};

use super::{
    S3Error,
    bucket::{Bucket, Place},
    client::pause,
};

/// The longest that one call may take: a page of a list, or the objects that are looked at or kept together. What was
/// kept until then is kept: the next try goes on from there.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// How many objects are under way at once.
const AT_ONCE: usize = 16;
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The line.
pub(super) struct Line {
    bucket: Arc<Bucket>,
    away: Arc<AtomicBool>,
    name: String,
    /// Taken only when all is over.
    runtime: Option<Runtime>,
}

impl Line {
    pub(super) fn open(bucket: Bucket, name: &str) -> Result<Self, S3Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("vault")
            .enable_all()
            .build()
            .map_err(S3Error::Runtime)?;
        let away = Arc::new(AtomicBool::new(false));
        Ok(Self { bucket: Arc::new(bucket), away, name: name.to_owned(), runtime: Some(runtime) })
    }

    /// How many requests were sent.
    pub(super) fn requests(&self) -> u64 {
        self.bucket.requests()
    }

    /// Where the list of what lies behind a key begins.
    pub(super) fn begin(&self, after: &str) -> Option<Place> {
        self.bucket.behind(after)
    }

    /// Does `work` and waits for it; from any thread, one that drives a runtime too.
    pub(super) fn call<T, E, F>(&self, work: impl FnOnce(Arc<Bucket>) -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<S3Error> + AsS3 + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let Some(runtime) = &self.runtime else { return Err(S3Error::Away.into()) };
        if self.away.load(Ordering::SeqCst) {
            return Err(S3Error::Away.into());
        }
        let work = work(self.bucket.clone());
        let (answer, answered) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            let outcome = timeout(CALL_WITHIN, work).await.unwrap_or_else(|_| Err(S3Error::TimedOut.into()));
            let _ = answer.send(outcome); // nobody waits any more
        });
        let outcome = answered.recv().unwrap_or_else(|_| Err(S3Error::Away.into()));
        if let Err(error) = &outcome
            && let Some(cause) = error.as_s3().filter(|cause| cause.may_pass())
            && !self.away.swap(true, Ordering::SeqCst)
        {
            tracing::warn!(store = self.name, "vault {} {cause}: evidence waits", self.name);
            runtime.spawn(until_it_answers(self.bucket.clone(), self.away.clone(), self.name.clone()));
        }
        outcome
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Never waits: it may be dropped where nobody may block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn until_it_answers(bucket: Arc<Bucket>, away: Arc<AtomicBool>, name: String) {
    while !bucket.answers().await {
        pause(ASK_AGAIN).await;
    }
    away.store(false, Ordering::SeqCst);
    tracing::info!(store = name, "vault {name} answers again");
}

/// An error that may be a store's.
pub(super) trait AsS3 {
    fn as_s3(&self) -> Option<&S3Error>;
}

/// Does `work` for each of `items`, some at once, and gives what came of each, in order; the first error ends all.
pub(super) async fn each<I, T, E, F>(items: Vec<I>, work: impl Fn(I) -> F) -> Result<Vec<T>, E>
where
    T: Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut done: Vec<Option<T>> = items.iter().map(|_| None).collect();
    let mut waiting = items.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((place, item)) = waiting.next()
        {
            let work = work(item);
            running.spawn(async move { (place, work.await) });
        }
        match running.join_next().await {
            None => break,
            Some(Ok((place, outcome))) => done[place] = Some(outcome?),
            Some(Err(broken)) => std::panic::resume_unwind(broken.into_panic()),
        }
    }
    Ok(done.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_are_done_in_order_and_the_first_error_ends_all() {
        let twice = |n: u32| async move { Ok::<_, u32>(n * 2) };
        let done = each((0..100).collect(), twice).await.unwrap();
        assert_eq!(done, (0..100).map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(each(Vec::new(), twice).await, Ok(Vec::new()));
        let fails = |n: u32| async move { if n == 40 { Err(n) } else { Ok(n) } };
        assert_eq!(each((0..100).collect(), fails).await, Err(40));
    }
}
