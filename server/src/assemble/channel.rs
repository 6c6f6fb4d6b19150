//! The payment channel of a configuration, and what reaches the server from it.

use std::{net::SocketAddr, sync::Arc};

use payrig_channel::{Ledger, MemoryLedger, Notifications, Options};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, watch},
};

use super::ServerError;
use crate::{
    channel::{
        Channel,
        http::{HttpChannel, Settings},
        simulated::SimulatedChannel,
    },
    clock::Clock,
    config::{ChannelKind, Config, StoreKind},
    metrics::{Metrics, Named},
    notice,
    parts::Parts,
};

/// Notifications of the channel in process that are taken at a time: as many as the store likes to have together.
const UNDER_WAY: u32 = 256;

/// Makes the channel; the one in process has a ledger of its own and hands out its notifications, once.
pub(super) async fn open(
    config: &Config,
    address: SocketAddr,
    clock: Clock,
    metrics: &Arc<Metrics>,
) -> Result<(Channel, Option<Notifications>), ServerError> {
    match &config.channel {
        ChannelKind::Simulated(profile) => {
            let ledger = match &config.store {
                StoreKind::Memory => Ledger::Memory(MemoryLedger::new()),
                _ => Ledger::open(&config.data_dir.join("channel-ledger"))?,
            };
            let cashier_url = format!("http://{address}/simulated/cashier");
            let options = Options { profile: profile.clone(), cashier_url, ..Options::default() };
            let (channel, notifications) = payrig_channel::SimulatedChannel::start(ledger, options).await?;
            Ok((Channel::Simulated(SimulatedChannel::new(channel)), Some(notifications)))
        }
        ChannelKind::Http { address: channel, keys, public_url, limits } => {
            let public_url = public_url.clone().unwrap_or_else(|| format!("http://{address}"));
            let settings = Settings { address: channel.clone(), keys: keys.clone(), public_url, limits: *limits };
            let channel = HttpChannel::open(settings, clock, Arc::clone(metrics)).map_err(ServerError::Keys)?;
            Ok((Channel::Http(channel), None))
        }
    }
}

/// Takes the notifications of the channel in process until told to stop; then waits for those under way.
pub(super) async fn take_notifications(
    parts: Arc<Parts>,
    notifications: Option<Notifications>,
    mut stop: watch::Receiver<bool>,
) {
    let (Some(mut notifications), Some(channel)) = (notifications, parts.channel.simulated().cloned()) else { return };
    let places = Arc::new(Semaphore::new(UNDER_WAY as usize));
    loop {
        let next = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => None,
            next = notifications.recv() => next,
        };
        let Some(notification) = next else { break };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (parts, channel) = (Arc::clone(&parts), channel.clone());
        tokio::spawn(async move {
            match channel.verify(&notification) {
                Ok(learnt) => {
                    if let Err(error) = notice::take(&parts, learnt).await {
                        tracing::warn!(%error, "a notification was not taken; the sweeper asks the channel");
                    }
                }
                Err(error) => {
                    parts.metrics.notices_rejected.get_or_create(&Named { name: "bad_signature" }).inc();
                    tracing::warn!(%error, "a notification was rejected");
                }
            }
            drop(place);
        });
    }
    let _ = places.acquire_many(UNDER_WAY).await;
}

/// Listens for SIGHUP from now on.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Reads the channel's keys again at each SIGHUP, for as long as it is polled.
pub(super) async fn reload_keys(channel: HttpChannel, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        match channel.reload_keys() {
            Ok(()) => tracing::info!("the channel's keys were read again"),
            Err(error) => tracing::error!(%error, "the channel's keys were not read again; those of before stay"),
        }
    }
}
