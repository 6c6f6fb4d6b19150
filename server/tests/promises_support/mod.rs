//! Random stories: what happens in them, and the server on its durable store to which it happens.

pub(crate) mod deed;
pub(crate) mod story;
pub(crate) mod world;
