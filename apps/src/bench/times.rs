//! Times of frames, and what is told of them.

use std::time::Instant;

use serde::Serialize;

use super::NetworkTime;

/// What so many in a hundred frames do not exceed, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// Times of each frame, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Times {
    whole: Vec<f64>,
    network: Vec<f64>,
}

impl Times {
    /// Times the work of a frame, of which `network` counts its part.
    pub(crate) fn time<T>(&mut self, network: &NetworkTime, work: impl FnOnce() -> T) -> T {
        // What ran before this frame is not its own.
        network.take();
        let clock = Instant::now();
        let result = work();
        self.whole.push(clock.elapsed().as_secs_f64() * 1e6);
        self.network.push(network.take());
        result
    }

    /// What there is to tell of frames of so many seconds.
    pub(crate) fn side(&self, frame_seconds: f64) -> Side {
        // Frame by frame and not of the means, so that percentiles of the rest mean something.
        let rest: Vec<f64> = self.whole.iter().zip(&self.network).map(|(w, n)| w - n).collect();
        let (whole_us, rest_us) = (percentiles(&self.whole), percentiles(&rest));
        let frames_per_second = 1e6 / whole_us.mean.max(1e-3);
        Side {
            frames: self.whole.len(),
            real_time_factor: 1.0 / (frames_per_second * frame_seconds),
            frames_per_second,
            rest_share: rest_us.mean / whole_us.mean.max(1e-3),
            rest_share_median: rest_us.p50 / whole_us.p50.max(1e-3),
            whole_us,
            network_us: percentiles(&self.network),
            rest_us,
        }
    }
}

/// What is told of one direction.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) frames: usize,
    /// Time needed for a second of audio, in seconds.
    pub(crate) real_time_factor: f64,
    pub(crate) frames_per_second: f64,
    pub(crate) whole_us: Percentiles,
    pub(crate) network_us: Percentiles,
    pub(crate) rest_us: Percentiles,
    /// Share of all time that is not the network's.
    pub(crate) rest_share: f64,
    /// The same of the median frame, which other load on the machine moves less.
    pub(crate) rest_share_median: f64,
}

/// Percentiles by nearest rank.
pub(crate) fn percentiles(times: &[f64]) -> Percentiles {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |share: f64| {
        let at = (share * sorted.len() as f64).ceil() as usize;
        // Nearest rank gives a time that was really measured; with interpolation p99 of few frames would be invented.
        sorted.get(at.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
    };
    let mean = times.iter().sum::<f64>() / times.len().max(1) as f64;
    Percentiles { mean, p50: rank(0.5), p95: rank(0.95), p99: rank(0.99), max: rank(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred() {
        let times: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let expected = Percentiles { mean: 50.5, p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 };
        assert_eq!(percentiles(&times), expected);
        assert_eq!(percentiles(&[]).max, 0.0);
    }

    #[test]
    fn the_rest_is_what_the_network_leaves() {
        let times = Times { whole: vec![100.0, 200.0], network: vec![90.0, 180.0] };
        let side = times.side(0.02);
        assert!((side.rest_share - 0.1).abs() < 1e-9 && (side.rest_share_median - 0.1).abs() < 1e-9);
        assert!((side.real_time_factor - 150e-6 / 0.02).abs() < 1e-9);
    }
}
