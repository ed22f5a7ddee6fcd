//! Lists of times, and what is told of them.

use serde::Serialize;

/// Microseconds that so many in a hundred frames do not exceed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// Times of each frame's parts, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) network: Vec<f64>,
    pub(crate) rest: Vec<f64>,
}

impl Steps {
    /// Share of all time that was not the network's.
    pub(crate) fn rest_share(&self) -> f64 {
        let (network, rest) = (self.network.iter().sum::<f64>(), self.rest.iter().sum::<f64>());
        if network + rest > 0.0 { rest / (network + rest) } else { 0.0 }
    }
}

/// Percentiles by nearest rank.
pub(crate) fn percentiles(times: &[f64]) -> Percentiles {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |share: f64| {
        let at = (share * sorted.len() as f64).ceil() as usize;
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
        let p = percentiles(&times);
        assert_eq!((p.mean, p.p50, p.p95, p.p99, p.max), (50.5, 50.0, 95.0, 99.0, 100.0));
        assert_eq!(percentiles(&[]).max, 0.0);
    }
}
