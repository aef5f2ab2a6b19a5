//! Which charts a run has: throughput, latency over time and by percentile, CPU, memory.

use std::time::Duration;

use crate::feed::meter::Sample;
use crate::figures::{Figures, ms};

use super::chart::{Breadth, Chart, Series, Style};
use super::scale::Scale;

/// Points of a line over time at most: more than can be told apart.
const POINTS_MAX: usize = 160;
/// Most nines that the percentile curve shows.
const NINES_MAX: u32 = 5;
/// Points of the percentile curve for each nine.
const POINTS_PER_NINE: u32 = 24;

/// All charts of a run.
pub(super) fn charts(figures: &Figures) -> Vec<Chart> {
    let samples = thinned(&figures.samples);
    let time = Scale::Linear { max: samples.last().map_or(1.0, |sample| sample.at.as_secs_f64()).max(1e-3) };
    let marks: Vec<_> = figures.marks.iter().map(|(at, name)| (at.as_secs_f64(), name.clone())).collect();
    let over_time = |title, unit, series: Vec<Series>, log: bool| {
        let values = series.iter().flat_map(|series| series.points.iter().map(|(_, value)| *value)).collect::<Vec<_>>();
        let values = values.iter().copied();
        let y = if log { Scale::log(values) } else { Scale::linear(values) };
        let breadth = Breadth::Half;
        Chart { breadth, title, unit, x_name: "seconds", x: time, y, series, marks: marks.clone() }
    };
    vec![
        Chart { breadth: Breadth::Whole, ..over_time("Throughput", "a second", throughput(&samples), false) },
        over_time("Latency over time", "ms, logarithmic", latency(&samples), true),
        percentiles(figures),
        over_time("CPU of the server", "% of one core", cpu(&samples), false),
        over_time("Memory of the server", "MB", memory(&samples), false),
    ]
}

fn area(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), style: Style::Area, points }
}

fn line(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), style: Style::Line, points }
}

/// Samples joined so that few enough are left. Counts are from the start, so the later one of two holds both; of
/// latencies the worse counts.
fn thinned(samples: &[Sample]) -> Vec<Sample> {
    let together = samples.len().div_ceil(POINTS_MAX).max(1);
    samples
        .chunks(together)
        .filter_map(|chunk| {
            let latency = chunk.iter().filter_map(|sample| sample.latency).reduce(|a, b| {
                let mut worse = a;
                worse.iter_mut().zip(b).for_each(|(worse, other)| *worse = other.max(*worse));
                worse
            });
            chunk.last().map(|last| Sample { latency, ..*last })
        })
        .collect()
}

/// What grows, as a rate between each two samples.
fn rates(samples: &[Sample], amount: impl Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
    samples
        .windows(2)
        .filter_map(|pair| {
            let (before, now) = (&pair[0], &pair[1]);
            let span = now.at.saturating_sub(before.at);
            // The last sample may follow at once, which makes no rate.
            if span < Duration::from_millis(50) {
                return None;
            }
            let grown = amount(now)? - amount(before)?;
            // A server that was started anew counts from 0.
            Some((now.at.as_secs_f64(), grown.max(0.0) / span.as_secs_f64()))
        })
        .collect()
}

fn throughput(samples: &[Sample]) -> Vec<Series> {
    let mut series = vec![area("events acknowledged", rates(samples, |sample| Some(sample.events as f64)))];
    if samples.iter().any(|sample| sample.done > 0) {
        series.push(line("done", rates(samples, |sample| Some(sample.done as f64))));
    }
    series
}

fn latency(samples: &[Sample]) -> Vec<Series> {
    let of = |place: usize| {
        let points = samples.iter().filter_map(|sample| Some((sample.at.as_secs_f64(), ms(sample.latency?[place]))));
        points.collect::<Vec<_>>()
    };
    vec![line("p50", of(0)), line("p99", of(1)), line("highest", of(2))]
}

fn cpu(samples: &[Sample]) -> Vec<Series> {
    vec![area("user and system", rates(samples, |sample| Some(sample.usage?.cpu_s * 100.0)))]
}

fn memory(samples: &[Sample]) -> Vec<Series> {
    let points = samples.iter().filter_map(|sample| {
        let usage = sample.usage?;
        Some((sample.at.as_secs_f64(), usage.rss_bytes as f64 / 1e6))
    });
    vec![area("resident", points.collect())]
}

/// As many nines as there are events to tell them by.
fn nines_of(count: u64) -> u32 {
    count.max(10).ilog10().clamp(1, NINES_MAX)
}

fn percentiles(figures: &Figures) -> Chart {
    let latency = &figures.latency;
    let nines = nines_of(latency.len());
    let points: Vec<_> = (0..=nines * POINTS_PER_NINE)
        .map(|place| 1.0 - 10_f64.powf(-f64::from(place) / f64::from(POINTS_PER_NINE)))
        .map(|quantile| (quantile, ms(latency.value_at_quantile(quantile))))
        .collect();
    let points = if latency.is_empty() { Vec::new() } else { points };
    let sync = figures.disk_sync_p99_ms();
    let level = if points.is_empty() { Vec::new() } else { vec![(0.0, sync)] };
    let values: Vec<_> = points.iter().chain(&level).map(|(_, value)| *value).collect();
    Chart {
        breadth: Breadth::Half,
        title: "Latency by percentile",
        unit: "ms, logarithmic",
        x_name: "of all events",
        x: Scale::Nines { max: nines },
        y: Scale::log(values.iter().copied()),
        series: vec![
            line("latency", points),
            Series { name: "one sync of the idle disk, p99".to_owned(), style: Style::Level, points: level },
        ],
        marks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, events: u64, latency: Option<[u64; 3]>) -> Sample {
        Sample { at: Duration::from_millis(at_ms), events, latency, ..Sample::default() }
    }

    #[test]
    fn rates_are_between_samples() {
        let samples = [sample(0, 0, None), sample(500, 100, None), sample(1_500, 150, None), sample(1_510, 190, None)];
        assert_eq!(rates(&samples, |sample| Some(sample.events as f64)), [(0.5, 200.0), (1.5, 50.0)]);
    }

    #[test]
    fn thinning_keeps_counts_and_the_worst() {
        let samples: Vec<_> = (0..2 * POINTS_MAX as u64).map(|n| sample(n, n, Some([n % 7, 0, n]))).collect();
        let few = thinned(&samples);
        assert_eq!(few.len(), POINTS_MAX);
        assert_eq!((few[1].events, few[1].latency), (3, Some([3, 0, 3])));
    }

    #[test]
    fn there_are_as_many_nines_as_events_tell() {
        assert_eq!([0, 50, 1_000, 999_999, 10_000_000].map(nines_of), [1, 1, 3, 5, 5]);
    }
}
