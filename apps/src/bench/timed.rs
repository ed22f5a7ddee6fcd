//! A network that tells how long its runs took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use siskin_core::Result;
use siskin_core::runtime::{Provider, StepNetwork};

/// Nanoseconds that a network ran since they were last taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkTime(Arc<AtomicU64>);

impl NetworkTime {
    /// Takes the time, in microseconds, and begins anew.
    pub(crate) fn take(&self) -> f64 {
        self.0.swap(0, Ordering::Relaxed) as f64 / 1e3
    }

    /// Times the runs of a network.
    pub(crate) fn of(&self, network: Box<dyn StepNetwork>) -> Box<dyn StepNetwork> {
        Box::new(Timed { network, time: self.clone() })
    }
}

struct Timed {
    network: Box<dyn StepNetwork>,
    time: NetworkTime,
}

impl StepNetwork for Timed {
    fn input(&mut self) -> &mut [f32] {
        self.network.input()
    }

    fn run(&mut self) -> Result<()> {
        let clock = Instant::now();
        let result = self.network.run();
        // Added up, since a call of the encoder may run a network several times.
        self.time.0.fetch_add(clock.elapsed().as_nanos() as u64, Ordering::Relaxed);
        result
    }

    fn output(&self) -> &[f32] {
        self.network.output()
    }

    fn reset(&mut self) {
        self.network.reset();
    }

    fn save(&self, into: &mut Vec<Vec<f32>>) {
        self.network.save(into);
    }

    fn restore(&mut self, from: &[Vec<f32>]) -> Result<()> {
        self.network.restore(from)
    }

    fn provider(&self) -> Provider {
        self.network.provider()
    }
}
