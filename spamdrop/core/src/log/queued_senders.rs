//! The senders of the messages in the queue, for servers that do not name the
//! sender when they deliver a message.

use std::collections::{HashMap, VecDeque};

/// The most messages that are remembered, far more than a small server's queue
/// holds. The delivery of an older one is not taken.
const CAPACITY: usize = 8192;
/// The longest id that is remembered; Exim's has 23 characters.
const ID: usize = 32;
/// The longest sender that is remembered: a path of RFC 5321, section 4.5.3.1.3.
const SENDER: usize = 256;

/// The sender of each message; empty for a bounce.
#[derive(Debug, Default)]
pub(super) struct QueuedSenders {
    senders: HashMap<Box<[u8]>, Box<[u8]>>,
    /// The ids in order of age, oldest first.
    order: VecDeque<Box<[u8]>>,
}

impl QueuedSenders {
    /// Remembers the sender of a message, in place of an earlier message with the
    /// same id. If the sender is empty or too long, no delivery of the message is
    /// taken.
    pub(super) fn queued(&mut self, id: &[u8], sender: &[u8]) {
        let is_usable = !sender.is_empty() && sender.len() <= SENDER && id.len() <= ID;
        let sender = if is_usable { sender } else { &[] };
        if let Some(known) = self.senders.get_mut(id) {
            *known = sender.into();
        } else if is_usable {
            self.add(id, sender);
        }
    }

    /// Forgets the oldest message if there are too many.
    fn add(&mut self, id: &[u8], sender: &[u8]) {
        if self.order.len() == CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.senders.remove(&oldest);
        }
        self.order.push_back(id.into());
        self.senders.insert(id.into(), sender.into());
    }

    /// The sender of a remembered message that is no bounce.
    pub(super) fn sender(&self, id: &[u8]) -> Option<&[u8]> {
        let sender = self.senders.get(id)?;
        (!sender.is_empty()).then_some(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_id_becomes_that_of_the_new_message() {
        let mut queue = QueuedSenders::default();
        queue.queued(b"4XyZ", b"a@example.com");
        assert_eq!(queue.sender(b"4XyZ"), Some(&b"a@example.com"[..]));
        queue.queued(b"4XyZ", b"b@example.com");
        assert_eq!(queue.sender(b"4XyZ"), Some(&b"b@example.com"[..]));
        queue.queued(b"4XyZ", b"");
        assert_eq!(queue.sender(b"4XyZ"), None);
        queue.queued(b"4XyZ", b"c@example.com");
        queue.queued(b"4XyZ", &[b'x'; SENDER + 1]);
        assert_eq!(queue.sender(b"4XyZ"), None);
        assert_eq!((queue.senders.len(), queue.order.len()), (1, 1));
    }

    #[test]
    fn only_the_latest_messages_are_remembered() {
        let mut queue = QueuedSenders::default();
        for id in 0..3 * CAPACITY {
            queue.queued(id.to_string().as_bytes(), b"a@example.com");
            // A bounce takes no place.
            queue.queued(format!("b{id}").as_bytes(), b"");
        }
        assert_eq!(
            (queue.senders.len(), queue.order.len()),
            (CAPACITY, CAPACITY)
        );
        let known = |id: usize| queue.sender(id.to_string().as_bytes()).is_some();
        assert!(!known(2 * CAPACITY - 1));
        assert!(known(2 * CAPACITY));
    }
}
