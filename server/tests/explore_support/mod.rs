//! What the tests of the promises share: the model, and a server that is driven step by step.

#![allow(dead_code, reason = "each test uses the part that it needs")]

pub(crate) mod actor;
pub(crate) mod books;
pub(crate) mod life;
pub(crate) mod model;
pub(crate) mod ops;
pub(crate) mod rest;
pub(crate) mod scenarios;
pub(crate) mod search;
pub(crate) mod shown;
pub(crate) mod world;

/// The reason of an end that a test writes down as if the channel had said closed, which then takes money all the same.
pub(crate) const CHANNEL_LIED: &str = "the channel said so, wrongly";
