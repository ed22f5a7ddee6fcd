use std::sync::Arc;

use pulp::{Simd, WithSimd};

use super::distribution::distances_below_highest;
use super::predictor::Predictor;
use super::tables::Tables;

/// Estimates for the encoder's search what the codes of a frame would take in the packet that is being gathered.
#[derive(Debug, Clone)]
pub struct BitCostEstimator {
    tables: Arc<Tables>,
    /// The frames before, and of this one what each group has come to.
    predictor: Predictor,
    arch: pulp::Arch,
}

/// Turns logits into costs.
struct CountBits<'a> {
    logits: &'a [i32],
    costs: &'a mut [f32],
}

impl WithSimd for CountBits<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // Distances of logits instead of probabilities: without a sum over all entries, and what it leaves out is
        // the same for each of them.
        for (cost, below) in self.costs.iter_mut().zip(distances_below_highest(self.logits)) {
            *cost = below as f32;
        }
    }
}

impl BitCostEstimator {
    /// An estimator that has seen nothing.
    pub fn new(tables: Arc<Tables>) -> Self {
        Self { predictor: Predictor::new(&tables), tables, arch: pulp::Arch::new() }
    }

    /// Begins a packet: nothing is known.
    pub fn start_packet(&mut self) {
        self.predictor.start_packet();
    }

    /// Ends a frame, which has these codes, `[stage][group]`.
    pub fn end_frame(&mut self, codes: &[u16]) {
        // The search has left sums of its candidates there; only the codes that were chosen count for later frames.
        self.predictor.restart_frame(&self.tables);
        for (index, &code) in codes.iter().enumerate() {
            self.predictor.add_code(&self.tables, index, code.into());
        }
        self.predictor.next_frame(&self.tables);
    }

    /// What each entry of codebook `index` takes more than the likeliest, in 256ths of a bit, after codes of its group
    /// that add up to `sums`; of the other groups what was [assumed](Self::set_group_sums).
    pub fn estimate_costs(&mut self, index: usize, sums: &[i32], costs: &mut [f32]) {
        self.set_group_sums(index % self.tables.groups, sums);
        let logits = self.predictor.predict_logits(&self.tables, index);
        self.arch.dispatch(CountBits { logits, costs });
    }

    /// Adds an entry of codebook `index` to the sums of its group.
    pub fn add_entry(&self, index: usize, entry: usize, sums: &mut [i32]) {
        sums.iter_mut().zip(self.tables.entry_of(index, entry)).for_each(|(sum, &e)| *sum += i32::from(e));
    }

    /// Takes the codes of a group so far for those that add up to `sums`.
    pub fn set_group_sums(&mut self, group: usize, sums: &[i32]) {
        self.predictor.set_group(group, sums);
    }
}
