//! Orders: what a client may ask of them and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Currency, Item,
    request::{AMOUNT, Invalid, MAX_AMOUNT_MINOR, ORDER_NO, is_order_no, validate_items},
    strict,
};

/// The body of `POST /v1/orders`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// The merchant's number for it: 1 to 64 visible ASCII characters without ':' and '/'.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-.0-9;-~]+$")]
    pub order_no: String,
    /// What is to be paid, in minor units: 1 to 2^53 - 1. The items may sum to something else: discounts, fees.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    pub amount_minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// What is bought.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "strict::optional_list")]
    #[schema(min_items = 1, max_items = 200)]
    pub items: Option<Vec<Item>>,
}

impl NewOrder {
    /// Checks what JSON types cannot say.
    ///
    /// # Errors
    /// The first field at fault, in the order of the fields.
    pub fn validate(&self) -> Result<(), Invalid> {
        if !is_order_no(&self.order_no) {
            return Err(Invalid::new("order_no", ORDER_NO));
        }
        if !(1..=MAX_AMOUNT_MINOR).contains(&self.amount_minor) {
            return Err(Invalid::new("amount_minor", AMOUNT));
        }
        self.items.as_deref().map_or(Ok(()), |items| validate_items(items).map(drop))
    }
}

/// By what a paid order is split into parcels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShipMode {
    /// One parcel.
    None,
    /// A parcel for each seller of the items.
    ByMerchant,
    /// A parcel for each warehouse in which items lie.
    ByWarehouse,
}

impl ShipMode {
    /// The name that stands in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ByMerchant => "by_merchant",
            Self::ByWarehouse => "by_warehouse",
        }
    }
}

/// The body of `POST /v1/orders/{order_no}/ship`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ship {
    /// How the order is split.
    #[serde(deserialize_with = "strict::name")]
    pub mode: ShipMode,
}

/// Where an order stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Nobody has paid it.
    Unpaid,
    /// One payment has paid it.
    Paid,
    /// It was paid, and split into parcels.
    Shipped,
}

/// An order as it is answered. Members that are not known yet are absent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// The merchant's number for it.
    pub order_no: String,
    /// Where it stands.
    pub state: OrderState,
    /// What is to be paid, in minor units.
    pub amount_minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// What is bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
    /// When it was created, microseconds since the epoch.
    pub created_at: u64,
    /// When the channel took the money, microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<u64>,
    /// What was paid, in minor units: what the parcels sum to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_amount_minor: Option<u64>,
    /// The payment that paid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_no: Option<String>,
    /// The channel's transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// When it was split into parcels, microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped_at: Option<u64>,
    /// By what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_mode: Option<ShipMode>,
    /// The parcels; their amounts sum exactly to what was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Vec<ChildOrder>>,
}

/// One parcel of an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChildOrder {
    /// `{order_no}-{n}`, n from 1 in the order in which the parcels' first items stand in the order.
    pub child_no: String,
    /// Its share of what was paid, in minor units.
    pub amount_minor: u64,
    /// The seller, of an order split by sellers; absent where the items name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// The warehouse, of an order split by warehouses; absent where the items name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    /// What is in it.
    pub items: Vec<Item>,
}
