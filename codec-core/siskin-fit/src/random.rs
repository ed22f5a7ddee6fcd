/// A small generator of reproducible random numbers (SplitMix64, Steele, Lea and Flood 2014): a fit with the same seed goes
/// the same way.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In -1..1.
    pub(super) fn symmetric(&mut self) -> f32 {
        // 24 bits, as many as a 32-bit float holds exactly.
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            // The bias of the remainder is below 2^-50 for the few thousand frames of a GOP.
            items.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
    }
}
