//! The grammar of thresholds: what a person may promise about a run, read with errors that name the place.

use std::fmt;

use payrig_scenarios::Step;

use crate::units::{human_us, unit_us};

/// One promise about a run, such as `p99<250ms for submit`.
#[derive(Clone, PartialEq, Debug)]
pub struct Threshold {
    /// As it was written.
    pub text: String,
    /// What is looked at.
    pub quantity: Quantity,
    /// How it must stand to the limit.
    pub comparison: Comparison,
    /// Microseconds for a time, a fraction (0..1) for an error rate, requests a second for a rate.
    pub limit: f64,
    /// Only this step's requests; all of them where absent.
    pub step: Option<Step>,
}

/// What a threshold looks at.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Quantity {
    /// A statistic of a span of time.
    Time(Subject, Statistic),
    /// Failed requests as a fraction of all.
    ErrorRate,
    /// Requests that were answered as the contract says, a second.
    Rate,
}

/// Which span of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A request's response time, from its scheduled instant.
    Response,
    /// From a submission to its outcome, by the server's clock.
    Settle,
    /// From paying to seeing it paid, by the server's clock.
    Paid,
    /// A stage of the flow, from the server's own times.
    QueueWait,
    /// See [`Subject::QueueWait`].
    Channel,
    /// See [`Subject::QueueWait`].
    RetryWait,
    /// See [`Subject::QueueWait`].
    Own,
}

const SUBJECTS: [(&str, Subject); 6] = [
    ("settle", Subject::Settle),
    ("paid", Subject::Paid),
    ("queue_wait", Subject::QueueWait),
    ("channel", Subject::Channel),
    ("retry_wait", Subject::RetryWait),
    ("own", Subject::Own),
];

/// A statistic of a distribution.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Statistic {
    /// The value below which this fraction (0..1) lies.
    Quantile(f64),
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The mean.
    Mean,
}

/// How a figure must stand to its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// Whether the figure keeps the promise.
    #[must_use]
    pub fn holds(self, figure: f64, limit: f64) -> bool {
        match self {
            Self::Less => figure < limit,
            Self::AtMost => figure <= limit,
            Self::Greater => figure > limit,
            Self::AtLeast => figure >= limit,
        }
    }
}

/// Where a threshold's text is wrong, and what would be right there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThresholdError {
    /// The whole text.
    pub text: String,
    /// The byte at which it goes wrong.
    pub at: usize,
    /// What is accepted there.
    pub expected: String,
}

impl std::error::Error for ThresholdError {}

impl fmt::Display for ThresholdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.text[..self.at].chars().count();
        writeln!(f, "a threshold cannot be read at character {}: {}", column + 1, self.expected)?;
        writeln!(f, "    {}", self.text)?;
        writeln!(f, "    {}^", " ".repeat(column))?;
        write!(
            f,
            "  examples: \"p99<250ms for submit\", \"p(95)<500\" (ms), \"error-rate<1%\", \"rate>=2000\", \"settle p95<4s\""
        )
    }
}

/// Reads one threshold.
///
/// ```text
/// threshold  = quantity ("<" | "<=" | ">" | ">=") number [unit] ["for" STEP]
/// quantity   = [subject] statistic | "error-rate" | "rate"
/// subject    = "settle" | "paid" | "queue_wait" | "channel" | "retry_wait" | "own"
/// statistic  = "p99" | "p99.9" | "p(99.9)" | "min" | "med" | "avg" | "max"
/// ```
/// A time without a unit is in milliseconds, as k6 writes it.
///
/// # Errors
/// The place, and what is accepted there.
pub fn parse(text: &str) -> Result<Threshold, ThresholdError> {
    let mut reader = Reader { text, at: 0 };
    let quantity = reader.quantity()?;
    let comparison = reader.comparison()?;
    let limit = reader.limit(quantity)?;
    let step = reader.step(quantity)?;
    reader.end()?;
    Ok(Threshold { text: text.trim().to_owned(), quantity, comparison, limit, step })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, at: usize, expected: impl Into<String>) -> Result<T, ThresholdError> {
        Err(ThresholdError { text: self.text.to_owned(), at, expected: expected.into() })
    }

    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A word of a quantity: `p(99.9)`, `error-rate`, `queue_wait`.
    fn word(&mut self) -> (usize, &'a str) {
        self.rest();
        let at = self.at;
        (at, self.take_while(|c| c.is_alphanumeric() || "-_.()".contains(c)))
    }

    fn quantity(&mut self) -> Result<Quantity, ThresholdError> {
        let (at, word) = self.word();
        match word {
            "error-rate" | "error_rate" => return Ok(Quantity::ErrorRate),
            "rate" => return Ok(Quantity::Rate),
            _ => {}
        }
        let plain = word.replace('-', "_");
        if let Some((_, subject)) = SUBJECTS.iter().find(|(name, _)| *name == plain) {
            let (at, word) = self.word();
            return match statistic(word) {
                Some(statistic) => Ok(Quantity::Time(*subject, statistic)),
                None => self.fail(at, format!("after `{plain}` a statistic: p50, p99.9, p(95), min, med, avg or max")),
            };
        }
        match statistic(word) {
            Some(statistic) => Ok(Quantity::Time(Subject::Response, statistic)),
            None => self.fail(
                at,
                "a statistic (p50, p99.9, p(95), min, med, avg, max), `error-rate`, `rate`, or one of settle, paid, \
                 queue_wait, channel, retry_wait, own with a statistic",
            ),
        }
    }

    fn comparison(&mut self) -> Result<Comparison, ThresholdError> {
        let rest = self.rest();
        for (sign, comparison) in [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ] {
            if rest.starts_with(sign) {
                self.at += sign.len();
                return Ok(comparison);
            }
        }
        self.fail(self.at, "one of <, <=, >, >=")
    }

    fn limit(&mut self, quantity: Quantity) -> Result<f64, ThresholdError> {
        self.rest();
        let at = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit() || c == '.');
        let Ok(number) = digits.parse::<f64>() else {
            return self.fail(at, "a number");
        };
        let digits_end = self.at;
        let unit = match quantity {
            // A rate's unit is one token with a slash: `2000/1s`.
            Quantity::Rate => self.take_while(|c| c.is_alphanumeric() || c == '/'),
            _ => self.take_while(|c| c == '%' || c.is_alphabetic()),
        };
        let unit_at = self.at - unit.len();
        // A word apart that is no unit is what follows the number: `for submit`.
        if unit_at > digits_end && unit_us(unit).is_none() && !matches!(unit, "%" | "/s" | "/1s" | "/m" | "/1m") {
            self.at = digits_end;
            return self.in_unit(quantity, number, "", at, unit_at);
        }
        self.in_unit(quantity, number, unit, at, unit_at)
    }

    fn in_unit(
        &self,
        quantity: Quantity,
        number: f64,
        unit: &str,
        at: usize,
        unit_at: usize,
    ) -> Result<f64, ThresholdError> {
        match quantity {
            Quantity::Time(..) => match unit {
                "" => Ok(number * 1e3),
                _ => match unit_us(unit) {
                    Some(us) => Ok(number * us),
                    None => self.fail(unit_at, "a unit of time: us, ms, s, m or h (none: ms)"),
                },
            },
            Quantity::ErrorRate => {
                let fraction = match unit {
                    "%" => number / 100.0,
                    "" => number,
                    _ => return self.fail(unit_at, "% or a plain fraction"),
                };
                // `error-rate<1` would always hold; whoever writes it means 1 %.
                if fraction > 1.0 || (unit.is_empty() && number >= 1.0) {
                    return self.fail(at, format!("a fraction below 1, or a percentage: {number}%"));
                }
                Ok(fraction)
            }
            Quantity::Rate => match unit {
                "" | "/s" | "/1s" => Ok(number),
                "/m" | "/1m" => Ok(number / 60.0),
                _ => self.fail(unit_at, "a rate such as 2000, 2000/s or 2000/1s"),
            },
        }
    }

    fn step(&mut self, quantity: Quantity) -> Result<Option<Step>, ThresholdError> {
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(None);
        }
        let (at, word) = self.word();
        if word != "for" {
            self.at = at;
            return self.end().map(|()| None);
        }
        if let Quantity::Time(subject, _) = quantity
            && subject != Subject::Response
        {
            return self.fail(at, "nothing more: this is a figure of whole journeys, not of a step");
        }
        let (at, name) = self.word();
        match Step::ALL.iter().find(|step| step.name() == name.replace('-', "_")) {
            Some(step) => Ok(Some(*step)),
            None => {
                let names: Vec<_> = Step::ALL.iter().map(|step| step.name()).collect();
                self.fail(at, format!("a step: {}", names.join(", ")))
            }
        }
    }

    fn end(&mut self) -> Result<(), ThresholdError> {
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(());
        }
        let at = self.at;
        if rest.trim_start_matches([',', ';']).trim_start().starts_with("window") {
            return self
                .fail(at, "nothing more: `window=` is not in this version; thresholds judge the whole steady phase");
        }
        self.fail(at, "nothing more, or `for STEP`")
    }
}

fn statistic(word: &str) -> Option<Statistic> {
    match word {
        "min" => return Some(Statistic::Min),
        "max" => return Some(Statistic::Max),
        "avg" | "mean" => return Some(Statistic::Mean),
        "med" => return Some(Statistic::Quantile(0.5)),
        _ => {}
    }
    let digits = word.strip_prefix('p')?;
    let digits = match digits.strip_prefix('(') {
        Some(inner) => inner.strip_suffix(')')?,
        None => digits,
    };
    if !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let percent: f64 = digits.parse().ok()?;
    // Rounded to whole numbers first: 99.9 / 100 is not the 0.999 that the figures of a run are taken at.
    let quantile = (percent * 1e6).round() / 1e8;
    (quantile > 0.0 && quantile <= 1.0).then_some(Statistic::Quantile(quantile))
}

impl Quantity {
    /// The unit of its figures in results.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Time(..) => "us",
            Self::ErrorRate => "share",
            Self::Rate => "per_s",
        }
    }
}

/// A figure in one of the units of results, as people read it.
#[must_use]
pub fn human(figure: f64, unit: &str) -> String {
    match unit {
        "us" => human_us(figure),
        "share" => format!("{:.3} %", figure * 100.0),
        "per_s" => format!("{figure:.1}/s"),
        _ => format!("{figure} {unit}"),
    }
}

#[cfg(test)]
mod tests;
