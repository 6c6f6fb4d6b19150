//! Alipay style: no prior call; the parameters are signed here.

use crate::channel::{Attempt, Channel, ChannelError, PaymentChannel as _};

/// One attempt: the signed parameters for the payer.
pub(super) fn do_task(channel: &Channel, attempt: Attempt<'_>) -> Result<String, ChannelError> {
    channel.pay_params(attempt, None)
}
