//! Awaits several queries at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Awaits all futures and returns their outputs in order. Meant for a few: each
/// wake-up polls every pending future.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut states: Vec<MaybeDone<F>> = futures
        .into_iter()
        .map(|future| MaybeDone::Waiting(Box::pin(future)))
        .collect();
    poll_fn(|context| {
        let mut ready = true;
        for state in &mut states {
            if let MaybeDone::Waiting(future) = state {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *state = MaybeDone::Ready(output),
                    Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let outputs = states.into_iter().filter_map(|state| match state {
        MaybeDone::Ready(output) => Some(output),
        MaybeDone::Waiting(_) => None,
    });
    outputs.collect()
}

enum MaybeDone<F: Future> {
    Waiting(Pin<Box<F>>),
    Ready(F::Output),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test]
    async fn all_are_awaited_at_once_and_keep_their_order() {
        let start = Instant::now();
        let slept = join_all([30, 10, 20].map(|ms| async move {
            sleep(Duration::from_millis(ms)).await;
            ms
        }));
        assert_eq!(slept.await, [30, 10, 20]);
        assert!(start.elapsed() < Duration::from_millis(60));
        assert!(
            join_all(Vec::<std::future::Ready<()>>::new())
                .await
                .is_empty()
        );
    }
}
