//! One RabbitMQ: its two connections, and a thread that they and everything on them run on.

use std::{sync::Arc, thread};

use lapin::types::ShortString;
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use super::{
    codec::read_success,
    consume::Intake,
    consumer::{Consumer, Read},
    courier::{Courier, NotSent},
    error::RabbitError,
    link::{Direction, Link},
    park::Parking,
    publish::{Outgoing, Publishers},
    sample::sample,
    settings::RabbitSettings,
    tally::Tally,
    topology::{Names, Topology},
};
use crate::{metrics::Metrics, model::Success};

/// One RabbitMQ. Its connections end with the last copy.
#[derive(Clone)]
pub struct Rabbit {
    inner: Arc<Inner>,
}

struct Inner {
    names: Names,
    metrics: Arc<Metrics>,
    /// The runtime of the connections: heartbeats and confirms wait for nobody's requests, and a caller that goes away
    /// leaves nothing half done.
    handle: Handle,
    stop: CancellationToken,
    consuming: Arc<Link>,
    publishing: Arc<Link>,
    courier: Courier,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Rabbit {
    /// Connects, and makes all queues and exchanges that are not there: those of the task queue, and one queue for each
    /// of these subscribers to success messages.
    ///
    /// # Errors
    /// Within a few seconds, where RabbitMQ cannot be used as it is configured; see [`RabbitError`].
    pub async fn connect(
        settings: &RabbitSettings,
        subscribers: &[&'static str],
        metrics: Arc<Metrics>,
    ) -> Result<Self, RabbitError> {
        let stop = CancellationToken::new();
        // Where anything below fails, the thread ends too.
        let stops = stop.clone().drop_guard();
        let handle = start_runtime(stop.clone())?;
        let topology = Topology::new(settings, subscribers);
        let names = topology.names.clone();
        let (settings, counts) = (settings.clone(), Arc::clone(&metrics));
        let (connected, connecting) = oneshot::channel();
        // On the runtime of its own: the library binds a connection to the runtime that it is made on.
        handle.spawn(async move {
            let opened = async {
                let (is, to) = (settings.clone(), topology.clone());
                let publishing = Link::open(is, to, Direction::Publishing, Arc::clone(&counts)).await?;
                let consuming = Link::open(settings, topology, Direction::Consuming, counts).await?;
                Ok::<_, RabbitError>((publishing, consuming))
            };
            let _ = connected.send(opened.await);
        });
        let gone = || RabbitError::System(std::io::Error::other("it ended at once"));
        let ((publishing, keeps_publishing), (consuming, keeps_consuming)) = connecting.await.map_err(|_| gone())??;
        handle.spawn(Arc::clone(&publishing).keep(keeps_publishing));
        handle.spawn(Arc::clone(&consuming).keep(keeps_consuming));
        let (publishers, work) = Publishers::over(&publishing, &metrics);
        for publisher in work {
            handle.spawn(publisher.run());
        }
        let courier = Courier::new(Arc::clone(&publishing), publishers);
        let stop = stops.disarm();
        Ok(Self { inner: Arc::new(Inner { names, metrics, handle, stop, consuming, publishing, courier }) })
    }

    pub(in crate::queue) fn names(&self) -> &Names {
        &self.inner.names
    }

    /// Whether messages would be taken now.
    pub(in crate::queue) fn takes_messages(&self) -> bool {
        self.inner.courier.is_usable()
    }

    /// Sends messages, at most a batch; goes on with them where the caller does not wait.
    ///
    /// # Errors
    /// See [`Courier::send`].
    pub(in crate::queue) async fn send(&self, messages: Vec<Outgoing>) -> Result<(), NotSent> {
        let left = messages.len();
        let courier = self.inner.courier.clone();
        let sending = self.inner.handle.spawn(async move { courier.send(messages).await });
        let ended = |_| NotSent { error: crate::queue::QueueError::Closed, left };
        sending.await.map_err(ended).and_then(|sent| sent)
    }

    /// An intake of a subscriber's queue of success messages.
    pub(in crate::queue) fn successes(&self, queue: ShortString, prefetch: u16) -> Intake<Arc<Success>> {
        self.intake(queue, prefetch, read_success, None)
    }

    /// An intake of this queue, which is consumed from when somebody asks for something.
    pub(super) fn intake<T: Send + 'static>(
        &self,
        queue: ShortString,
        prefetch: u16,
        read: Read<T>,
        delayed: Option<Arc<Tally>>,
    ) -> Intake<T> {
        let (intake, hears) = Intake::new(prefetch);
        self.watch(vec![queue.clone()], intake.tally());
        let inner = &self.inner;
        inner.handle.spawn(
            Consumer {
                shared: Arc::clone(intake.shared()),
                hears,
                link: Arc::clone(&inner.consuming),
                queue,
                prefetch,
                read,
                parking: Parking { courier: inner.courier.clone(), parked: inner.names.parked() },
                delayed,
                metrics: Arc::clone(&inner.metrics),
            }
            .run(),
        );
        intake
    }

    /// Keeps a tally right, of the messages in these queues.
    pub(super) fn watch(&self, queues: Vec<ShortString>, tally: &Arc<Tally>) {
        self.inner.handle.spawn(sample(Arc::clone(&self.inner.consuming), queues, Arc::clone(tally)));
    }

    /// Lets go of the connections in good order.
    pub(in crate::queue) async fn close(&self) {
        let (publishing, consuming) = (Arc::clone(&self.inner.publishing), Arc::clone(&self.inner.consuming));
        let closing = self.inner.handle.spawn(async move { tokio::join!(publishing.close(), consuming.close()) });
        let _ = closing.await;
    }
}

/// A runtime on a thread of its own, until it is told to stop.
fn start_runtime(stop: CancellationToken) -> Result<Handle, RabbitError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name("rabbitmq".to_owned()).spawn(move || {
        runtime.block_on(stop.cancelled());
        runtime.shutdown_background();
    })?;
    Ok(handle)
}
