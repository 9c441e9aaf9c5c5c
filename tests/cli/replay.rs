//! The recorder beside a qubesd that behaves as the real one was recorded to (`tests/data/replay`).
