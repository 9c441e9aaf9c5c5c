//! Nodes of functions that came and went between two readings of xenstore. Its watches tell of them what they are called
//! and no more: which function it was is not known then, only that one was with a qube.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Word that a node was removed may come after a reading that found it gone.
const LATE: Duration = Duration::from_secs(60);

/// What watches told of, and what was read.
#[derive(Default)]
pub struct Nodes {
    told: BTreeSet<String>,
    /// By the clock of the reading that found it last.
    read: BTreeMap<String, Duration>,
}

impl Nodes {
    /// Watches told of these.
    pub fn tell(&mut self, nodes: Vec<String>) {
        self.told.extend(nodes);
    }

    /// A reading found these; how many that were told of before it nobody has ever read.
    pub fn read(&mut self, found: impl Iterator<Item = String>, clock: Duration) -> usize {
        self.read.retain(|_, last| *last + LATE > clock);
        self.read.extend(found.map(|node| (node, clock)));
        let told = std::mem::take(&mut self.told);
        told.iter().filter(|node| !self.read.contains_key(*node)).count()
    }

    /// Nothing could be read: that is told otherwise.
    pub fn forget(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(nodes: &mut Nodes, found: &[&str], seconds: u64) -> usize {
        nodes.read(found.iter().map(|&node| node.to_owned()), Duration::from_secs(seconds))
    }

    #[test]
    fn what_was_told_and_never_read_is_missed_once() {
        let mut nodes = Nodes::default();
        nodes.tell(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(read(&mut nodes, &["b"], 1), 1);
        assert_eq!(read(&mut nodes, &["b"], 2), 0);
    }

    #[test]
    fn late_word_of_what_was_read_is_no_news() {
        let mut nodes = Nodes::default();
        read(&mut nodes, &["a"], 1);
        read(&mut nodes, &[], 2);
        nodes.tell(vec!["a".to_owned()]);
        assert_eq!(read(&mut nodes, &[], 3), 0);
        // Much later it is another one of the same name.
        nodes.tell(vec!["a".to_owned()]);
        assert_eq!(read(&mut nodes, &[], 100), 1);
    }
}
