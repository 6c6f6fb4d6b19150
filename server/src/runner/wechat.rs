//! `WeChat` style: the channel is asked for a `prepay_id` first, which the signed parameters then name.

use crate::channel::{Attempt, Channel, ChannelError, PaymentChannel as _};

/// One attempt: the signed parameters for the payer.
pub(super) async fn do_task(channel: &Channel, attempt: Attempt<'_>) -> Result<String, ChannelError> {
    let prepay_id = channel.prepay(attempt).await?;
    channel.pay_params(attempt, Some(prepay_id))
}
