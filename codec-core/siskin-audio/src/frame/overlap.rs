use siskin_error::{Error, Result};
use siskin_model::bundle::SegmentSpec;

/// Segments that overlap, mixed in the middle: each sample counts by how far it is from the nearer end of its segment.
#[derive(Debug, PartialEq)]
pub(crate) struct Overlap {
    sizes: SegmentSpec,
    channels: usize,
    /// Samples of the last segment's end that have not come out, all channels interleaved.
    tail: Vec<f32>,
    /// Place of the first of them in their segment.
    place: usize,
    /// Length of the stream's first segment, by which all are weighted; 0 before it.
    length: usize,
}

impl Clone for Overlap {
    fn clone(&self) -> Self {
        Self { tail: self.tail.clone(), ..*self }
    }

    // By hand: the derived one would allocate each time that slots of streams take turns.
    fn clone_from(&mut self, from: &Self) {
        let mut tail = std::mem::take(&mut self.tail);
        tail.clone_from(&from.tail);
        *self = Self { tail, ..*from };
    }
}

impl Overlap {
    pub(super) fn new(sizes: SegmentSpec, channels: usize) -> Self {
        Self { sizes, channels, tail: Vec::new(), place: 0, length: 0 }
    }

    /// What comes next is the first segment of a stream.
    pub(super) fn start_stream(&mut self) {
        self.tail.clear();
        (self.place, self.length) = (0, 0);
    }

    /// What comes next begins in the middle of a stream, whose first segment is not known: it was most likely a whole one.
    pub(super) fn join_stream(&mut self) {
        self.start_stream();
        self.length = self.sizes.samples;
    }

    /// Takes the state of a decoder of the same codec.
    pub(super) fn restore(&mut self, from: &Self) -> Result<()> {
        if (from.sizes, from.channels) != (self.sizes, self.channels) {
            return Err(Error::parameter("snapshot", "of another bundle", "of this bundle"));
        }
        self.clone_from(from);
        Ok(())
    }

    /// Mixes the held end into the start of `pcm`, the next segment, and holds the last `overlap` samples of that. Finite samples
    /// stay finite.
    pub(super) fn add(&mut self, pcm: &mut Vec<f32>, overlap: usize) {
        let length = pcm.len() / self.channels;
        if self.length == 0 {
            self.length = length;
        }
        self.mix(pcm);
        let start = length.saturating_sub(overlap);
        self.tail.clear();
        self.tail.extend(pcm.drain(start * self.channels..));
        self.place = start;
    }

    /// Fills `pcm`, which is silence, with the end of the last segment, and lets the next fade in.
    pub(super) fn conceal(&mut self, pcm: &mut [f32]) {
        if self.length == 0 {
            self.length = self.sizes.samples;
        }
        self.mix(pcm);
        let overlap = self.sizes.overlap();
        self.tail.clear();
        self.tail.resize(overlap * self.channels, 0.0);
        self.place = self.sizes.samples.saturating_sub(overlap);
    }

    fn mix(&mut self, pcm: &mut [f32]) {
        // Numbers of samples are exact in these floats. At least 1, whatever lengths a damaged stream has.
        let weight = |at: usize| (at + 1).min(self.length.saturating_sub(at)).max(1) as f64;
        let frames = pcm.chunks_exact_mut(self.channels).zip(self.tail.chunks_exact(self.channels));
        for (i, (now, before)) in frames.enumerate() {
            let (a, b) = (weight(self.place + i), weight(i));
            // In 64 bits, where a sample at the limit of 32 bits times its weight is still finite.
            let mixed = |x: f32, y: f32| (a * f64::from(y) + b * f64::from(x)) / (a + b);
            now.iter_mut().zip(before).for_each(|(x, &y)| *x = mixed(*x, y) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(channels: usize) -> Overlap {
        Overlap::new(SegmentSpec { samples: 10, stride: 6, normalized: true }, channels)
    }

    #[test]
    fn what_two_segments_agree_on_stays() {
        // Segments of 10 samples, 4 of which overlap, cut out of one ramp of two channels.
        let ramp =
            |from: usize, to: usize| (from..to).flat_map(|i| [i as f32, -(i as f32)]).collect::<Vec<_>>();
        let (mut overlap, mut heard) = (overlap(2), Vec::new());
        for (from, to, kept) in [(0, 10, 4), (6, 16, 4), (12, 15, 0)] {
            let mut pcm = ramp(from, to);
            overlap.add(&mut pcm, kept);
            heard.extend(pcm);
        }
        let expected = ramp(0, 15);
        assert_eq!(heard.len(), expected.len());
        assert!(heard.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{heard:?}");
    }

    #[test]
    fn the_loudest_samples_stay_finite() {
        let mut overlap = overlap(2);
        overlap.add(&mut [f32::MAX, f32::MIN].repeat(10), 4);
        let mut pcm = [f32::MAX, f32::MAX].repeat(10);
        overlap.add(&mut pcm, 4);
        let (left, right): (Vec<f32>, Vec<f32>) = pcm.chunks_exact(2).map(|s| (s[0], s[1])).unzip();
        assert_eq!(left, [f32::MAX; 6]);
        // The two weigh 4 to 1, 3 to 2, 2 to 3 and 1 to 4.
        for (found, share) in right.iter().zip([-0.6, -0.2, 0.2, 0.6, 1.0, 1.0]) {
            assert!((found / f32::MAX - share).abs() < 1e-6, "{right:?}");
        }
    }

    #[test]
    fn a_lost_segment_fades_out_and_the_next_in() {
        let mut overlap = overlap(1);
        overlap.add(&mut vec![1.0; 10], 4);
        let mut pcm = vec![0.0; 6];
        overlap.conceal(&mut pcm);
        assert!(pcm[..4].is_sorted_by(|a, b| a > b) && pcm[0] < 1.0 && pcm[4..] == [0.0; 2], "{pcm:?}");
        let mut next = vec![1.0; 10];
        overlap.add(&mut next, 4);
        assert!(next[..5].is_sorted_by(|a, b| a < b) && next[4..] == [1.0; 2], "{next:?}");
    }

    #[test]
    fn the_state_of_another_codec_is_refused_and_changes_nothing() {
        let (mut stereo, mut mono) = (overlap(2), overlap(1));
        stereo.add(&mut [1.0, 2.0].repeat(10), 4);
        let before = mono.clone();
        assert!(mono.restore(&stereo).is_err() && mono == before);
        let longer = Overlap::new(SegmentSpec { samples: 20, ..stereo.sizes }, 2);
        assert!(stereo.restore(&longer).is_err() && stereo.tail == [1.0, 2.0].repeat(4));
        let mut again = overlap(2);
        again.restore(&stereo).expect("the same codec");
        assert_eq!(again, stereo);
    }
}
