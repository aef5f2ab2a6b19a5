//! Where values lie on an axis, and which of them get a label.

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Evenly, from 0; labels are at round numbers.
    Linear {
        /// The highest.
        max: f64,
    },
    /// By their logarithm.
    Log {
        /// The lowest, above 0.
        min: f64,
        /// The highest.
        max: f64,
    },
    /// Quantiles by their nines: 0, 90 %, 99 %, … are as far from each other.
    Nines {
        /// How many.
        max: u32,
    },
}

/// Labels that an axis aims at.
const TICKS_AIM: f64 = 5.0;

impl Scale {
    /// From 0 to a round number that holds everything.
    pub fn linear(values: impl Iterator<Item = f64>) -> Self {
        let highest = values.fold(0.0, f64::max);
        let step = step(highest.max(1e-9));
        Self::Linear { max: (highest / step).ceil().max(1.0) * step }
    }

    /// From and to 1, 2 or 5 times a power of ten, at least ten times apart, with everything above 0 between.
    pub fn log(values: impl Iterator<Item = f64> + Clone) -> Self {
        let above = values.filter(|value| *value > 0.0);
        let lowest = above.clone().fold(f64::MAX, f64::min);
        let highest = above.fold(0.0, f64::max);
        if highest <= 0.0 {
            return Self::Log { min: 0.1, max: 10.0 };
        }
        let steps = |value: f64| [1.0, 2.0, 5.0, 10.0].map(|factor| factor * 10_f64.powf(value.log10().floor()));
        let min = steps(lowest).into_iter().rfind(|min| *min <= lowest).unwrap_or(lowest);
        let max = steps(highest).into_iter().find(|max| *max >= highest).unwrap_or(highest);
        Self::Log { min, max: max.max(min * 10.0) }
    }

    /// Where a value lies: 0 at the start, 1 at the end.
    pub fn place(&self, value: f64) -> f64 {
        let place = match *self {
            Self::Linear { max } => value / max,
            Self::Log { min, max } => (value.max(min) / min).log10() / (max / min).log10(),
            Self::Nines { max } => -(1.0 - value).max(1e-12).log10() / f64::from(max),
        };
        place.clamp(0.0, 1.0)
    }

    /// Values with a label, and the labels.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        match *self {
            Self::Linear { max } => {
                let step = step(max);
                let count = (max / step + 1e-6) as u32;
                (0..=count).map(|n| f64::from(n) * step).map(|value| (value, number(value))).collect()
            }
            Self::Log { min, max } => {
                let decades = (max / min).log10();
                let factors: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let first = min.log10().floor() as i32;
                (first..=first + 1 + decades.ceil() as i32)
                    .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)))
                    .filter(|value| (min * 0.999..=max * 1.001).contains(value))
                    .map(|value| (value, number(value)))
                    .collect()
            }
            Self::Nines { max } => (0..=max)
                .map(|nines| {
                    let quantile = 1.0 - 10_f64.powi(-(nines as i32));
                    let decimals = nines.saturating_sub(2) as usize;
                    (quantile, format!("{:.decimals$} %", quantile * 100.0))
                })
                .collect(),
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten that gives about as many labels as aimed at.
fn step(max: f64) -> f64 {
    let raw = max / TICKS_AIM;
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw * 0.999).unwrap_or(10.0 * power)
}

/// A number as an axis or a card shows it: three significant digits, thousands and millions short.
pub fn number(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale) -> String {
        scale.ticks().into_iter().map(|(_, label)| label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        assert_eq!(labels(Scale::linear([3.0, 187_000.0].into_iter())), "0 50 k 100 k 150 k 200 k");
        assert_eq!(labels(Scale::linear([7.3].into_iter())), "0 2 4 6 8");
        assert_eq!(Scale::linear([10.0].into_iter()).place(5.0), 0.5);
        assert_eq!(Scale::linear(std::iter::empty()).place(5.0), 1.0);
    }

    #[test]
    fn a_logarithmic_axis_holds_all_values() {
        let scale = Scale::log([0.0, 0.3, 42.0].into_iter());
        assert_eq!(labels(scale), "0.2 0.5 1 2 5 10 20 50");
        assert_eq!((scale.place(0.2), scale.place(50.0), scale.place(0.0)), (0.0, 1.0, 0.0));
        assert_eq!(labels(Scale::log([600.0, 900.0].into_iter())), "500 1000 2000 5000");
        assert_eq!(labels(Scale::log([0.01, 900.0].into_iter())), "0.01 0.1 1 10 100 1000");
    }

    #[test]
    fn nines_are_evenly_spaced() {
        let scale = Scale::Nines { max: 4 };
        assert_eq!(labels(scale), "0 % 90 % 99 % 99.9 % 99.99 %");
        assert!((scale.place(0.99) - 0.5).abs() < 1e-9 && scale.place(0.0) == 0.0);
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.25, 3.254, 9_999.0, 12_340.0, 1_500_000.0].map(number);
        assert_eq!(texts, ["0", "0.25", "3.25", "9999", "12.3 k", "1.5 M"]);
    }
}
