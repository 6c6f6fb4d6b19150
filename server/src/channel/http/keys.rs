//! The keys of both sides, as the folder has them: read again on demand, and kept where the folder cannot be read.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use payrig_channel::{
    PayParamsWriter, SignatureError, Signer, Verifier,
    keys::{KeysError, PlatformKeys},
};

use crate::clock::Clock;

/// An unknown serial has the folder read again, this often at most: whoever makes serials up must not keep the disk busy.
const REREAD_US: u64 = 1_000_000;

/// What is made of the keys.
pub(super) struct Keys {
    /// Signs calls.
    pub(super) signer: Signer,
    /// Signs pay parameters.
    pub(super) params: PayParamsWriter,
    /// Checks answers and notifications.
    pub(super) verifier: Verifier,
}

/// The folder and what it holds now.
pub(super) struct KeyRing {
    folder: PathBuf,
    cashier_url: String,
    notify_url: String,
    now: ArcSwap<Keys>,
    /// When an unknown serial may have it read again.
    reread_from_us: AtomicU64,
    clock: Clock,
}

impl KeyRing {
    /// Reads the folder.
    pub(super) fn open(
        folder: PathBuf,
        cashier_url: String,
        notify_url: String,
        clock: Clock,
    ) -> Result<Self, KeysError> {
        let keys = read(&folder, &cashier_url, &notify_url)?;
        let reread_from_us = AtomicU64::new(0);
        Ok(Self { folder, cashier_url, notify_url, now: ArcSwap::from_pointee(keys), reread_from_us, clock })
    }

    /// The keys of now.
    pub(super) fn now(&self) -> arc_swap::Guard<Arc<Keys>> {
        self.now.load()
    }

    /// Reads the folder again; where that fails the keys of before stay.
    pub(super) fn reload(&self) -> Result<(), KeysError> {
        self.now.store(Arc::new(read(&self.folder, &self.cashier_url, &self.notify_url)?));
        Ok(())
    }

    /// Checks with the keys of now, and once more with those of the folder where the serial is unknown.
    pub(super) fn checked<T>(
        &self,
        check: impl Fn(&Verifier) -> Result<T, SignatureError>,
    ) -> Result<T, SignatureError> {
        match check(&self.now().verifier) {
            Err(SignatureError::UnknownSerial) if self.may_reread() => {
                if let Err(error) = self.reload() {
                    tracing::error!(%error, "the channel's keys were not read again; those of before stay");
                }
                check(&self.now().verifier)
            }
            checked => checked,
        }
    }

    fn may_reread(&self) -> bool {
        let now_us = self.clock.now_us();
        let from_us = self.reread_from_us.load(Ordering::Relaxed);
        now_us >= from_us
            && self
                .reread_from_us
                .compare_exchange(from_us, now_us + REREAD_US, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

fn read(folder: &std::path::Path, cashier_url: &str, notify_url: &str) -> Result<Keys, KeysError> {
    let PlatformKeys { merchant, channel } = PlatformKeys::load(folder)?;
    let params = PayParamsWriter::new(merchant.clone(), cashier_url, notify_url);
    Ok(Keys { signer: merchant, params, verifier: channel })
}
