//! Medians, spreads and a straight line through points, with how sure it is.

use serde::Serialize;

/// A median with the range of what it stands for.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// The middle one (of an even number the mean of both).
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these values; all zero where there is none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self { median: 0.0, min: 0.0, max: 0.0 };
        };
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Self { median, min, max }
    }
}

/// A least-squares line's slope with its 95 % confidence interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Slope {
    /// Units of y a unit of x.
    pub value: f64,
    /// Half of the interval's width.
    pub plus_minus: f64,
}

/// The slope of the line through points; nothing for fewer than four, which say nothing about their own scatter.
///
/// The interval is widened by the residuals' lag-one correlation, since samples of memory follow each other: n points
/// that hang together with r are worth n (1 - r) / (1 + r).
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    let n = points.len() as f64;
    if points.len() < 4 {
        return None;
    }
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / n;
    let spread_x: f64 = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum();
    let value = points.iter().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum::<f64>() / spread_x;
    let residuals: Vec<f64> = points.iter().map(|point| point.1 - mean_y - value * (point.0 - mean_x)).collect();
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let together: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let correlation = if squares > 0.0 { (together / squares).clamp(0.0, 0.95) } else { 0.0 };
    let worth = (n * (1.0 - correlation) / (1.0 + correlation)).max(3.0);
    let error = (squares / (n - 2.0) / spread_x).sqrt() * (n / worth).sqrt();
    Some(Slope { value, plus_minus: students_t(worth - 2.0) * error })
}

/// The two-sided 95 % point of Student's t, by an expansion good to 2 % from three degrees of freedom on.
fn students_t(freedom: f64) -> f64 {
    let (z, v) = (1.959_964_f64, freedom.max(1.0));
    let first = (z.powi(3) + z) / (4.0 * v);
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * v * v);
    z + first + second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_both() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
    }

    #[test]
    fn a_line_is_found_with_its_interval() {
        let scatter = |x: u32| f64::from(x * 7919 % 13) - 6.0;
        let points: Vec<(f64, f64)> = (0..48).map(|x| (f64::from(x), 5.0 + 2.0 * f64::from(x) + scatter(x))).collect();
        let found = slope(&points).expect("enough points");
        assert!((found.value - 2.0).abs() < found.plus_minus, "{found:?}");
        assert!(found.plus_minus < 0.2, "{found:?}");
        let flat: Vec<(f64, f64)> = (0..48).map(|x| (f64::from(x), scatter(x))).collect();
        let found = slope(&flat).expect("enough points");
        assert!(found.value.abs() < found.plus_minus, "{found:?}");
    }

    #[test]
    fn students_t_is_near_the_tables() {
        for (freedom, table) in [(4.0, 2.776), (10.0, 2.228), (30.0, 2.042), (100.0, 1.984)] {
            assert!((students_t(freedom) - table).abs() / table < 0.02, "{freedom}");
        }
    }
}
