//! HTTP: connections with limits and deadlines, routes, one file a resource, and one place that turns errors into problems.

mod accept;
mod admin;
mod bearer;
mod cashier;
mod connections;
mod listen;
mod notify;
mod orders;
mod plain;
mod reply;
mod route;
mod tasks;
mod watched;

pub use accept::{Handed, Listening};
pub use connections::Deadlines;
pub use listen::{Endpoint, serve};
pub use route::Face;
