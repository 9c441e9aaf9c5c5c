//! Run: the only part that changes anything. Every step re-reads its
//! precondition, journals its intent, acts through the worker, and proves itself
//! by reading back; a failure is undone as far as only this run touched it.

#![forbid(unsafe_code)]

mod expected;
mod identity;
mod lost;
mod operation;
mod outcome;
mod pending;
mod recover;
mod several;
mod steps;
mod takers;
mod turn;
mod undo;
mod unsettled;
mod writer;

pub use operation::{new_operation_ids, Operation, Order};
pub use outcome::{Ending, Outcome, Progress, StepReport};
pub use pending::{pending, Interrupted};
pub use recover::{settle, settle_gone};
pub use several::{carry_out, sum, Aim, Ended, Task, Watch};
pub use steps::can_unassign;
pub use turn::{nothing_pending, takes_records, Turn};
pub use unsettled::Unsettled;
pub use writer::Writer;
