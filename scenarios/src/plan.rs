//! What one journey intends: its scenario, its data, and how its payer behaves, all drawn before it starts.

use payrig_api::{ChannelStyle, Currency, Item, NewOrder, Ship, ShipMode, Simulate, Submission, TaskInfo};
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::dice::Dice;

/// The kinds of journey.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Submit, poll until settled, pay, poll until paid.
    Checkout,
    /// The channel fails: automatic retries, and manual ones where they are used up.
    Flaky,
    /// Polls too early, and some cancel.
    Impatient,
    /// Submits twice with one key and pays twice.
    DoubleClick,
    /// Never pays.
    Abandon,
    /// A checkout in WeChat's style.
    Wechat,
    /// A checkout in Alipay's style.
    Alipay,
    /// Creates an order, pays it, sees it paid, splits it into parcels.
    Order,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 8] = [
        Self::Checkout,
        Self::Flaky,
        Self::Impatient,
        Self::DoubleClick,
        Self::Abandon,
        Self::Wechat,
        Self::Alipay,
        Self::Order,
    ];

    /// The stable name, as in profiles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Flaky => "flaky",
            Self::Impatient => "impatient",
            Self::DoubleClick => "double-click",
            Self::Abandon => "abandon",
            Self::Wechat => "wechat",
            Self::Alipay => "alipay",
            Self::Order => "order",
        }
    }
}

/// When an impatient payer cancels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CancelAt {
    /// While the round is not settled, after the early polls.
    Unsettled,
    /// When it has succeeded, instead of paying (or as soon as it is seen to have settled).
    Succeeded,
    /// Right after paying: too late, unless the notification is slower.
    Paid,
}

/// The intentions of one journey.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) submission: Submission,
    pub(crate) idempotency_key: String,
    pub(crate) order: Option<OrderPlan>,
    pub(crate) early_polls: u32,
    pub(crate) cancel: Option<CancelAt>,
    pub(crate) is_double: bool,
    pub(crate) pays: bool,
    pub(crate) pays_late: bool,
    pub(crate) manual_retries: u8,
}

/// The order that a journey creates first, and how it is split in the end.
#[derive(Clone, Debug)]
pub(crate) struct OrderPlan {
    pub(crate) new: NewOrder,
    pub(crate) mode: ShipMode,
}

impl OrderPlan {
    /// What splits it.
    pub(crate) const fn ship(&self) -> Ship {
        Ship { mode: self.mode }
    }
}

/// What the channel of a flaky journey does: parts, failures first, retry settings, manual retries that the payer asks
/// for. The first three recover by themselves; the next three need a manual retry; the last never recovers.
const FLAKY: [(u32, Simulate, TaskInfo, u8); 8] = [
    (25, fail_first(1), TaskInfo { need_retry: true, retry_times: 3 }, 1),
    (15, fail_first(2), TaskInfo { need_retry: true, retry_times: 3 }, 1),
    (10, Simulate { lose_answer: 1, ..NOTHING }, TaskInfo { need_retry: true, retry_times: 3 }, 1),
    (15, fail_first(1), TaskInfo { need_retry: false, retry_times: 3 }, 2),
    (10, fail_first(2), TaskInfo { need_retry: true, retry_times: 1 }, 2),
    (10, fail_first(4), TaskInfo { need_retry: true, retry_times: 3 }, 2),
    (5, Simulate { drop_notification: true, ..NOTHING }, TaskInfo { need_retry: true, retry_times: 3 }, 1),
    (10, Simulate { permanent: true, ..NOTHING }, TaskInfo { need_retry: true, retry_times: 3 }, 1),
];

const NOTHING: Simulate =
    Simulate { fail_first: 0, permanent: false, latency_ms: None, lose_answer: 0, drop_notification: false };

const fn fail_first(attempts: u8) -> Simulate {
    Simulate { fail_first: attempts, ..NOTHING }
}

impl Plan {
    pub(crate) fn draw(scenario: Scenario, order_no: String, settings: &Settings, dice: &mut Dice) -> Self {
        let scale = [100, 1_000, 10_000, 100_000][dice.weighted([1; 4].into_iter())];
        let amount_minor = dice.between(scale, scale * 10 - 1);
        let is_alipay = dice.chance(settings.alipay_share);
        let channel = match scenario {
            Scenario::Alipay => ChannelStyle::Alipay,
            // Only WeChat's style asks the channel before the payer pays, so only there it can fail.
            Scenario::Wechat | Scenario::Flaky => ChannelStyle::Wechat,
            _ if is_alipay => ChannelStyle::Alipay,
            _ => ChannelStyle::Wechat,
        };
        let items = dice.chance(settings.items_share).then(|| draw_items(amount_minor, dice));
        let submission = Submission {
            order_no,
            amount_minor,
            currency: Currency::CNY,
            channel,
            items,
            task_info: TaskInfo::default(),
            simulate: None,
        };
        let plan = Self {
            scenario,
            idempotency_key: format!("key-{}", submission.order_no),
            submission,
            order: None,
            early_polls: 0,
            cancel: None,
            is_double: scenario == Scenario::DoubleClick,
            pays: scenario != Scenario::Abandon,
            pays_late: dice.chance(settings.late_share),
            manual_retries: 1,
        };
        match scenario {
            Scenario::Flaky => plan.flaky(dice),
            Scenario::Impatient => plan.impatient(settings, dice),
            Scenario::Order => plan.order(dice),
            _ => plan,
        }
    }

    fn flaky(mut self, dice: &mut Dice) -> Self {
        let (_, simulate, task_info, manual_retries) = FLAKY[dice.weighted(FLAKY.iter().map(|row| row.0))];
        self.submission.simulate = Some(simulate);
        self.submission.task_info = task_info;
        self.manual_retries = manual_retries;
        self
    }

    /// What is bought costs up to a tenth more than is paid (a discount), so that shares of parcels have remainders.
    fn order(mut self, dice: &mut Dice) -> Self {
        let amount_minor = self.submission.amount_minor;
        let discount_minor = dice.below(amount_minor / 10 + 1);
        let new = NewOrder {
            order_no: self.submission.order_no.clone(),
            amount_minor,
            currency: self.submission.currency,
            items: Some(draw_items(amount_minor + discount_minor, dice)),
        };
        // The order has them already.
        self.submission.items = None;
        let mode = [ShipMode::None, ShipMode::ByMerchant, ShipMode::ByWarehouse][dice.weighted([1; 3].into_iter())];
        self.order = Some(OrderPlan { new, mode });
        self
    }

    fn impatient(mut self, settings: &Settings, dice: &mut Dice) -> Self {
        self.early_polls = 1 + u32::from(dice.chance(0.5));
        if dice.chance(settings.cancel_share) {
            let at = dice.weighted([2, 2, 1].into_iter());
            self.cancel = Some([CancelAt::Unsettled, CancelAt::Succeeded, CancelAt::Paid][at]);
        }
        self
    }
}

/// One to four items that sum to the amount exactly.
fn draw_items(amount_minor: u64, dice: &mut Dice) -> Vec<Item> {
    let mut items = Vec::new();
    let mut left_minor = amount_minor;
    for at in 0..dice.below(4) {
        let quantity = 1 + u32::from(dice.chance(0.3));
        let unit_price_minor = dice.between(1, (left_minor / 4).max(1));
        let cost_minor = u64::from(quantity) * unit_price_minor;
        if cost_minor < left_minor {
            left_minor -= cost_minor;
            items.push(draw_item(at, quantity, unit_price_minor, dice));
        }
    }
    items.push(draw_item(9, 1, left_minor, dice));
    items
}

fn draw_item(at: u64, quantity: u32, unit_price_minor: u64, dice: &mut Dice) -> Item {
    Item {
        sku: format!("sku-{at}-{}", dice.below(1_000)),
        quantity,
        unit_price_minor,
        seller: Some(format!("seller-{}", dice.below(5))),
        warehouse: Some(format!("warehouse-{}", dice.below(3))),
    }
}
