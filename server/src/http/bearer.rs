//! `Authorization: Bearer KEY` (RFC 6750): whose call it is.

use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use payrig_api::{Problem, ProblemType};

use super::{reply, route::Answer};
use crate::{
    merchants::{Merchant, Merchants},
    metrics::{Metrics, Named},
};

/// Names no error: whoever sent no key is only told that one is needed.
const NEEDED: HeaderValue = HeaderValue::from_static("Bearer realm=\"payrig\"");
const UNKNOWN: HeaderValue = HeaderValue::from_static("Bearer realm=\"payrig\", error=\"invalid_token\"");

/// The merchant who calls, or what a call without a merchant's key is told.
pub(super) fn merchant(merchants: &Merchants, headers: &HeaderMap, metrics: &Metrics) -> Result<Merchant, Answer> {
    let key = key(headers);
    merchants.find(key).ok_or_else(|| {
        let name = if key.is_some() { "unknown" } else { "missing" };
        metrics.unauthorized.get_or_create(&Named { name }).inc();
        refused(key.is_some())
    })
}

/// The key, where there is exactly one.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ")).then(|| key.trim_ascii())
}

fn refused(has_key: bool) -> Answer {
    let detail = if has_key { "no merchant has this key" } else { "the call needs a merchant's key" };
    let problem =
        Problem::new(ProblemType::Unauthorized).detail(detail).field("Authorization", "Bearer and an API key");
    let mut answer = reply::problem(&problem);
    answer.headers_mut().insert(WWW_AUTHENTICATE, if has_key { UNKNOWN } else { NEEDED });
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_key_or_none() {
        let table: [(&[&str], Option<&str>); 11] = [
            (&[], None),
            (&["Bearer k"], Some("k")),
            (&["bearer k"], Some("k")),
            (&["BEARER   k "], Some("k")),
            (&["Bearer "], Some("")),
            (&["Bearer"], None),
            (&["Bearerk"], None),
            (&["Basic a2V5"], None),
            (&["k"], None),
            (&["Bearer k", "Bearer l"], None),
            (&["Bearer k", "Bearer k"], None),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
            }
            assert_eq!(key(&headers), expected.map(str::as_bytes), "{values:?}");
        }
    }
}
