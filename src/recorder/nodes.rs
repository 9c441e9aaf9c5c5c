//! Nodes of functions that came and went between two readings of xenstore. Its watches tell what they were
//! called and no more: that a function was with a qube, and at most which one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Word that a node was removed may come after the reading that found it gone.
const LATE: Duration = Duration::from_secs(2);

/// What watches told of, and what was read.
#[derive(Default)]
pub struct Nodes {
    told: BTreeSet<String>,
    /// What the last reading found.
    there: BTreeSet<String>,
    /// What one before it found, and when it was found gone.
    gone: BTreeMap<String, Duration>,
}

impl Nodes {
    /// Watches told of these.
    pub fn tell(&mut self, nodes: Vec<String>) {
        self.told.extend(nodes);
    }

    /// A reading found these; how many that were told of before it nobody has ever read.
    pub fn read(&mut self, found: impl Iterator<Item = String>, clock: Duration) -> usize {
        let before = std::mem::replace(&mut self.there, found.collect());
        self.gone.retain(|_, since| *since + LATE > clock);
        self.gone
            .extend(before.into_iter().filter(|node| !self.there.contains(node)).map(|node| (node, clock)));
        let told = std::mem::take(&mut self.told);
        told.iter().filter(|node| !self.there.contains(*node) && !self.gone.contains_key(*node)).count()
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
    fn the_end_of_what_was_read_long_ago_is_no_news() {
        let mut nodes = Nodes::default();
        read(&mut nodes, &["a"], 1);
        nodes.tell(vec!["a".to_owned()]);
        assert_eq!(read(&mut nodes, &[], 1000), 0);
    }

    #[test]
    fn late_word_of_what_was_found_gone_is_no_news_for_two_seconds() {
        let mut nodes = Nodes::default();
        read(&mut nodes, &["a"], 1);
        read(&mut nodes, &[], 1000);
        nodes.tell(vec!["a".to_owned()]);
        assert_eq!(read(&mut nodes, &[], 1001), 0);
        // Later it is another one of the same name.
        nodes.tell(vec!["a".to_owned()]);
        assert_eq!(read(&mut nodes, &[], 1002), 1);
    }
}
