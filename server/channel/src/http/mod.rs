//! The channel over HTTP: one file a style, the cashier, the admin books, and what they share.

mod admin;
mod alipay;
mod answer;
mod cashier;
mod listen;
mod route;
mod taken;
mod wechat;

pub(crate) use listen::{Limits, serve};
pub(crate) use route::{App, Face};
