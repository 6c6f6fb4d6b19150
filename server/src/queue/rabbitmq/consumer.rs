//! The consumer behind an intake: one channel a session. It puts down what it can read, leaves to others what is of a later
//! version, parks what nobody can read, and acknowledges what it is told to.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel, Consumer as Deliveries,
    message::Delivery,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    acks::Settled,
    codec::Unreadable,
    consume::{Shared, Tag, Told},
    link::{Link, Session},
    park::Parking,
    tally::Tally,
};
use crate::metrics::{Metrics, Named};

/// Deliveries and acknowledgements that are handled in one go.
const AT_ONCE: usize = 1_024;
/// Acknowledgements that are handed to the connection and not written; over it no more are taken.
const WRITING: usize = 4_096;
/// A message that has been in a delay queue says which one.
const CAME_FROM: &str = "x-first-death-queue";

/// How a delivery is read.
pub(super) type Read<T> = fn(&Delivery) -> Result<T, Unreadable>;

/// The work behind an intake: to be run as a task.
pub(super) struct Consumer<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) hears: mpsc::Receiver<Told>,
    pub(super) link: Arc<Link>,
    pub(super) queue: ShortString,
    pub(super) prefetch: u16,
    pub(super) read: Read<T>,
    pub(super) parking: Parking,
    /// Messages of the queue that wait for their time elsewhere.
    pub(super) delayed: Option<Arc<Tally>>,
    pub(super) metrics: Arc<Metrics>,
}

/// One channel's deliveries.
struct Serving {
    channel: Channel,
    session: u64,
    settled: Settled,
    writing: FuturesUnordered<BoxFuture<'static, lapin::Result<()>>>,
    /// Who wants to know when everything is written.
    flushing: Vec<oneshot::Sender<()>>,
}

impl<T: Send + 'static> Consumer<T> {
    /// Consumes over one session after another, from the first time somebody asks for something on.
    pub(super) async fn run(mut self) {
        let mut last = 0;
        loop {
            let wanted = Arc::clone(&self.shared);
            let session = async {
                wanted.wanted.cancelled().await;
                self.link.session_after(last).await
            };
            let session = tokio::select! {
                session = session => session,
                told = self.hears.recv() => match told {
                    Some(told) => { self.too_late(told); continue }
                    None => return,
                },
            };
            let Some(session) = session else { return };
            last = session.number();
            if let Err(error) = self.serve(&session).await {
                session.end(&format!("nothing can be consumed from {}: {error}", self.queue));
            }
            // The server has them again.
            self.shared.clear();
        }
    }

    async fn serve(&mut self, session: &Session) -> lapin::Result<()> {
        let channel = session.channel().await?;
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let mut deliveries = channel.basic_consume(self.queue.clone(), "".into(), options, arguments).await?;
        let mut serving = Serving::over(channel, session.number());
        let mut told = Vec::new();
        let mut is_consuming = true;
        loop {
            let can_take = serving.writing.len() < WRITING;
            tokio::select! {
                biased;
                () = session.over() => return Ok(()),
                Some(written) = serving.writing.next(), if !serving.writing.is_empty() => {
                    written?;
                    while let Some(Some(written)) = serving.writing.next().now_or_never() {
                        written?;
                    }
                }
                heard = self.hears.recv_many(&mut told, AT_ONCE), if can_take => {
                    if heard == 0 {
                        return Ok(());
                    }
                    self.do_as_told(&mut serving, &mut told);
                }
                () = self.shared.closed.cancelled(), if is_consuming => {
                    is_consuming = false;
                    self.stop(&mut serving, &mut deliveries).await?;
                }
                delivery = deliveries.next(), if is_consuming => {
                    let Some(delivery) = delivery else {
                        session.end("the server ended the consumer: its queue was deleted, or moves");
                        return Ok(());
                    };
                    self.take_in(&mut serving, delivery?, &mut deliveries);
                }
            }
            if serving.writing.is_empty() {
                for flushed in serving.flushing.drain(..) {
                    let _ = flushed.send(());
                }
            }
        }
    }

    /// Puts down a delivery and all others that are there.
    fn take_in(&self, serving: &mut Serving, first: Delivery, more: &mut Deliveries) {
        let mut readable = Vec::new();
        let mut next = Some(first);
        let mut delivered = 0;
        while let Some(delivery) = next {
            delivered += 1;
            let tag = Tag::new(serving.session, delivery.delivery_tag);
            self.count_arrival(&delivery);
            match (self.read)(&delivery) {
                Ok(value) => readable.push((tag, value)),
                Err(Unreadable::Newer(kind)) => {
                    tracing::warn!(kind, "a message of a later version is left to the nodes that know it");
                    self.count("newer");
                    serving.hand_back(tag);
                }
                Err(Unreadable::Broken(reason)) => self.park(tag, delivery, reason),
            }
            // An error comes again, as the end of the session.
            next = if delivered < AT_ONCE { more.next().now_or_never().flatten().and_then(Result::ok) } else { None };
        }
        self.shared.put(readable);
    }

    fn count_arrival(&self, delivery: &Delivery) {
        if delivery.redelivered {
            self.count("redelivered");
        } else if let Some(delayed) = &self.delayed
            && delivery.properties.headers().as_ref().is_some_and(|headers| headers.contains_key(CAME_FROM))
        {
            delayed.left(1);
        }
    }

    /// Puts a message aside that nobody can work with; its task is in the store.
    fn park(&self, tag: Tag, delivery: Delivery, reason: String) {
        self.count("parked");
        tracing::error!(queue = self.queue.as_str(), reason, "a message cannot be read; it is parked");
        let (parking, shared) = (self.parking.clone(), Arc::clone(&self.shared));
        let queue = self.queue.clone();
        tokio::spawn(async move {
            let told = match parking.park(&queue, delivery, &reason).await {
                Ok(()) => Told::Ack(tag),
                Err(_) => Told::HandBack(tag),
            };
            shared.tell(told).await;
        });
    }

    fn do_as_told(&self, serving: &mut Serving, told: &mut Vec<Told>) {
        let mut done = Vec::with_capacity(told.len());
        for told in told.drain(..) {
            match told {
                Told::Ack(tag) if tag.of_session(serving.session) => done.push(tag.tag()),
                Told::HandBack(tag) if tag.of_session(serving.session) => serving.hand_back(tag),
                Told::Ack(_) | Told::HandBack(_) => self.count("stale"),
                Told::Flush(flushed) => serving.flushing.push(flushed),
            }
        }
        serving.acknowledge(done);
    }

    /// What is told while there is no session is about one that is lost.
    fn too_late(&self, told: Told) {
        match told {
            Told::Ack(_) | Told::HandBack(_) => self.count("stale"),
            Told::Flush(flushed) => drop(flushed.send(())),
        }
    }

    /// Takes no more, and hands back what nobody has taken.
    async fn stop(&self, serving: &mut Serving, deliveries: &mut Deliveries) -> lapin::Result<()> {
        serving.channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default()).await?;
        let mut back: VecDeque<Tag> = self.shared.clear().into();
        while let Some(Some(Ok(delivery))) = deliveries.next().now_or_never() {
            back.push_back(Tag::new(serving.session, delivery.delivery_tag));
        }
        for tag in back {
            serving.hand_back(tag);
        }
        Ok(())
    }

    fn count(&self, name: &'static str) {
        self.metrics.rabbitmq_deliveries.get_or_create(&Named { name }).inc();
    }
}

impl Serving {
    fn over(channel: Channel, session: u64) -> Self {
        Self { channel, session, settled: Settled::default(), writing: FuturesUnordered::new(), flushing: Vec::new() }
    }

    fn acknowledge(&mut self, tags: Vec<u64>) {
        for ack in self.settled.ack(tags) {
            let channel = self.channel.clone();
            let options = BasicAckOptions { multiple: ack.multiple };
            self.writing.push(async move { channel.basic_ack(ack.tag, options).await }.boxed());
        }
    }

    fn hand_back(&mut self, tag: Tag) {
        self.settled.note(tag.tag());
        let channel = self.channel.clone();
        let options = BasicNackOptions { multiple: false, requeue: true };
        self.writing.push(async move { channel.basic_nack(tag.tag(), options).await }.boxed());
    }
}
