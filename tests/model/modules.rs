//! Indexes of kernel modules as `depmod` writes them, so that no module and no
//! depmod is needed to have libkmod answer.
//!
//! The format is a trie in a file (kmod, `libkmod/libkmod-index.h`): magic,
//! version, the root's offset; a node has its children's offsets and its values.
//! Numbers are big-endian; the top bits of an offset say what its node has.

use std::collections::BTreeMap;

const MAGIC: u32 = 0xb007_f457;
const VERSION: u32 = 0x0002_0001;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;

#[derive(Default)]
struct Node {
    children: BTreeMap<u8, Node>,
    values: Vec<(u32, String)>,
}

/// The index of these keys and values; an earlier value is found first.
pub fn index(entries: &[(String, String)]) -> Vec<u8> {
    let mut root = Node::default();
    for (priority, (key, value)) in (0u32..).zip(entries) {
        let mut node = &mut root;
        for byte in key.bytes() {
            node = node.children.entry(byte).or_default();
        }
        node.values.push((priority, value.clone()));
    }
    let mut file = Vec::new();
    for word in [MAGIC, VERSION, 0] {
        file.extend(word.to_be_bytes());
    }
    let at = write(&root, &mut file);
    file[8..12].copy_from_slice(&at.to_be_bytes());
    file
}

/// Writes a node behind its children and returns its offset.
fn write(node: &Node, file: &mut Vec<u8>) -> u32 {
    let offsets: BTreeMap<u8, u32> =
        node.children.iter().map(|(&byte, child)| (byte, write(child, file))).collect();
    let mut at = u32::try_from(file.len()).unwrap();
    if let (Some((&first, _)), Some((&last, _))) = (offsets.first_key_value(), offsets.last_key_value()) {
        at |= CHILDREN;
        file.extend([first, last]);
        for byte in first..=last {
            file.extend(offsets.get(&byte).copied().unwrap_or(0).to_be_bytes());
        }
    }
    if !node.values.is_empty() {
        at |= VALUES;
        file.extend(u32::try_from(node.values.len()).unwrap().to_be_bytes());
        for (priority, value) in &node.values {
            file.extend(priority.to_be_bytes());
            file.extend(value.as_bytes());
            file.push(0);
        }
    }
    at
}
