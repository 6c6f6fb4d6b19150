//! The pieces of the side-by-side performance suite: servers, load, what the machine did meanwhile, and figures.

pub mod error;
pub mod reply;
pub mod client;
pub mod child;
pub mod wrk;
pub mod machine;
pub mod disk;
pub mod figures;
pub mod report;
pub mod suite;
pub mod soak;
