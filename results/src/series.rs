//! The name of one series of histograms, and the tag that stands for it in the interval log.

use crate::ResultsError;

/// A series: what is timed, by which clock, over which time. Its tag is `subject.clock.class`.
///
/// Subjects are steps (`submit`), `stage` (with the stage as the clock: `stage.own.all`) and `journey` (with the span as
/// the clock: `journey.settle_server.all`). Classes are `all` and `undisturbed`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Series {
    tag: String,
    first_dot: usize,
    last_dot: usize,
}

impl Series {
    /// The subject of the server's own stages.
    pub const STAGE: &'static str = "stage";
    /// The subject of a journey's own spans.
    pub const JOURNEY: &'static str = "journey";
    /// The clock of requests that failed, in whatever time; its count is the number of errors. Failed requests stand in
    /// no other series.
    pub const FAILED: &'static str = "failed";
    /// The clock whose count is the number of requests that were done.
    pub const RESPONSE: &'static str = "response_time";
    /// The class of all time.
    pub const ALL: &'static str = "all";

    /// A series over all time.
    ///
    /// # Errors
    /// A name is empty or holds anything but small letters, digits, `_` and `-`.
    pub fn all(subject: &str, clock: &str) -> Result<Self, ResultsError> {
        Self::new(subject, clock, Self::ALL)
    }

    /// A series.
    ///
    /// # Errors
    /// A name is empty or holds anything but small letters, digits, `_` and `-`.
    pub fn new(subject: &str, clock: &str, class: &str) -> Result<Self, ResultsError> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        for name in [subject, clock, class] {
            if name.is_empty() || !name.chars().all(is_plain) {
                return Err(ResultsError::BadName { name: name.to_owned() });
            }
        }
        let tag = format!("{subject}.{clock}.{class}");
        let (first_dot, last_dot) = (subject.len(), subject.len() + 1 + clock.len());
        Ok(Self { tag, first_dot, last_dot })
    }

    /// The series of this tag; none where the tag is of another form.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let mut parts = tag.split('.');
        let series = Self::new(parts.next()?, parts.next()?, parts.next()?).ok()?;
        parts.next().is_none().then_some(series)
    }

    /// The tag in the log.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// What is timed.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.tag[..self.first_dot]
    }

    /// By which clock.
    #[must_use]
    pub fn clock(&self) -> &str {
        &self.tag[self.first_dot + 1..self.last_dot]
    }

    /// Over which time.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.tag[self.last_dot + 1..]
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_back_and_bad_ones_refused() {
        let series = Series::new("query_paid", "response_time", "all").expect("plain");
        assert_eq!(series.tag(), "query_paid.response_time.all");
        assert_eq!(Series::from_tag(series.tag()), Some(series.clone()));
        assert_eq!((series.subject(), series.clock(), series.class()), ("query_paid", "response_time", "all"));
        for bad in ["a,b", "a b", "a\nb", "", "a.b", "Tag=x", "\u{e9}"] {
            assert!(Series::all(bad, "x").is_err(), "{bad:?}");
        }
        assert!(["a.b", "a.b.c.d", "a..c", "x"].into_iter().all(|tag| Series::from_tag(tag).is_none()));
    }
}
