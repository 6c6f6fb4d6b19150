//! Currencies that the flow takes: ISO 4217 codes with the number of their minor-unit digits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// An ISO 4217 currency that this server takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Currency(u8);

/// Code and number of minor-unit digits (ISO 4217, table A.1). The index is stored nowhere: codes are.
const KNOWN: &[(&str, u8)] = &[
    ("AED", 2),
    ("AUD", 2),
    ("BHD", 3),
    ("BRL", 2),
    ("CAD", 2),
    ("CHF", 2),
    ("CNY", 2),
    ("CZK", 2),
    ("DKK", 2),
    ("EUR", 2),
    ("GBP", 2),
    ("HKD", 2),
    ("HUF", 2),
    ("IDR", 2),
    ("ILS", 2),
    ("INR", 2),
    ("JPY", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("MOP", 2),
    ("MXN", 2),
    ("MYR", 2),
    ("NOK", 2),
    ("NZD", 2),
    ("PHP", 2),
    ("PLN", 2),
    ("SAR", 2),
    ("SEK", 2),
    ("SGD", 2),
    ("THB", 2),
    ("TRY", 2),
    ("TWD", 2),
    ("USD", 2),
    ("VND", 0),
    ("ZAR", 2),
];

impl Currency {
    /// The renminbi, which both channel styles settle in by default.
    pub const CNY: Self = Self(6);

    /// The currency with this ISO 4217 code (capitals), if the flow takes it.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        let at = KNOWN.binary_search_by_key(&code, |known| known.0).ok()?;
        u8::try_from(at).ok().map(Self)
    }

    /// The ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        KNOWN[usize::from(self.0)].0
    }

    /// How many digits stand after the point in the major unit (2 for CNY, 0 for JPY).
    #[must_use]
    pub fn minor_digits(self) -> u8 {
        KNOWN[usize::from(self.0)].1
    }

    /// Every code that is taken, for messages.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.0)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;
        impl de::Visitor<'_> for Code {
            type Value = Currency;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an ISO 4217 currency code that is taken here, such as \"CNY\"")
            }
            fn visit_str<E: de::Error>(self, code: &str) -> Result<Currency, E> {
                Currency::from_code(code).ok_or_else(|| E::invalid_value(de::Unexpected::Str(code), &self))
            }
        }
        deserializer.deserialize_str(Code)
    }
}

impl PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        let codes = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Self::codes()));
        codes.description(Some("An ISO 4217 currency that this server takes")).into()
    }
}

impl ToSchema for Currency {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_code_is_found() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for code in Currency::codes() {
            assert_eq!(Currency::from_code(code).map(Currency::code), Some(code));
        }
        assert_eq!(Currency::CNY.code(), "CNY");
        assert_eq!(Currency::from_code("cny"), None);
        assert_eq!(Currency::from_code("XXX"), None);
    }
}
