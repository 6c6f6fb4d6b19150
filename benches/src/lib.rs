//! The pieces of the side-by-side performance suite: servers, load, what the machine did meanwhile, and figures.

pub mod reply;
