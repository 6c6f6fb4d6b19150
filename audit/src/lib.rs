//! The check of the money: the server's books, the channel's ledger and what a client was told, compared as sets of
//! (id, amount).
//!
//! ```text
//! let admin = Admin::new("http://127.0.0.1:9090", Duration::from_secs(5))?;
//! let rest = quiesce(&admin, Duration::from_secs(60))?;         // waits until nothing moves any more
//! let findings = check(&rest.books, &seen, Moment::AtRest);     // empty: every promise was kept
//! ```
//!
//! It knows the books by their names over HTTP and no backend behind them, so it holds on every one.

pub mod books;
pub mod check;
pub mod finding;
pub mod ids;
pub mod quiesce;
pub mod read;
pub mod seen;

pub use books::Books;
pub use check::{Moment, check};
pub use finding::Finding;
pub use ids::{OrderId, Round};
pub use quiesce::{Rest, moving, quiesce, quiesce_unless};
pub use read::{Admin, ReadError};
pub use seen::{Cashier, Seen, Shown, Submitted};
