/// Normally distributed noise that is the same on every machine (SplitMix64 of Steele et al. 2014, sum of twelve
/// uniform values).
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next value, of mean 0 and variance 1.
    pub(crate) fn next_value(&mut self) -> f32 {
        let mut sum = 0u32;
        for _ in 0..3 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            // Twelve uniform values have a variance of 1 and a mean of 6. Their sum is exact in integers, where a
            // logarithm would differ from library to library.
            sum += (0..4).map(|i| (z >> (16 * i)) as u32 & 0xffff).sum::<u32>();
        }
        sum as f32 / 65536.0 - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::Noise;

    #[test]
    fn mean_and_variance_are_those_of_the_normal_distribution() {
        let mut noise = Noise::new(1);
        let values: Vec<f32> = (0..100_000).map(|_| noise.next_value()).collect();
        let mean = values.iter().sum::<f32>() / 1e5;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
