//! The parked messages: what nobody can work with, with its reason, for people to look at. RabbitMQ parks by itself what
//! was delivered too often.

use lapin::{
    message::Delivery,
    types::{AMQPValue, ShortString},
};

use super::{
    courier::{Courier, NotSent},
    publish::Outgoing,
};

/// Why it is parked.
const REASON: &str = "x-payrig-reason";
/// Where it was.
const QUEUE: &str = "x-payrig-queue";

/// The way to the parked messages.
#[derive(Clone)]
pub(super) struct Parking {
    pub(super) courier: Courier,
    pub(super) parked: ShortString,
}

impl Parking {
    /// Parks a message of this queue.
    ///
    /// # Errors
    /// Where it is not confirmed: it has to go back to its queue.
    pub(super) async fn park(&self, queue: &ShortString, delivery: Delivery, reason: &str) -> Result<(), NotSent> {
        let mut headers = delivery.properties.headers().clone().unwrap_or_default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        headers.insert(QUEUE.into(), AMQPValue::LongString(queue.as_str().into()));
        let message = Outgoing {
            exchange: "".into(),
            routing_key: self.parked.clone(),
            properties: delivery.properties.with_headers(headers).with_delivery_mode(2),
            label: "parked".to_owned(),
            payload: delivery.data,
        };
        self.courier.send(vec![message]).await
    }
}
