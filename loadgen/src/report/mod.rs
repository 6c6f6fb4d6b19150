//! What people read of a run, made from its results alone.

mod table;
mod text;

pub use text::{Style, text};
