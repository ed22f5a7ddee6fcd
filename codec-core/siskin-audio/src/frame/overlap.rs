/// Segments that overlap, mixed in the middle: each sample counts by how far it is from the nearer end of its segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Overlap {
    /// Samples of the last segment's end that have not come out, all channels interleaved.
    tail: Vec<f32>,
    /// Place of the first of them in their segment.
    place: usize,
    /// Length of the stream's first segment, by which all are weighted; 0 before it.
    length: usize,
}

impl Overlap {
    /// Mixes the held end into the start of `pcm`, the next segment, and holds the last `overlap` samples of that.
    pub(super) fn add(&mut self, pcm: &mut Vec<f32>, overlap: usize, channels: usize) {
        let length = pcm.len() / channels;
        if self.length == 0 {
            self.length = length;
        }
        self.mix(pcm, channels);
        let start = length.saturating_sub(overlap);
        self.tail.clear();
        self.tail.extend(pcm.drain(start * channels..));
        self.place = start;
    }

    /// Fills `pcm`, which is silence, with the end of the last segment, and lets the next fade in over `overlap` samples. `usual` is
    /// the length of a whole segment.
    pub(super) fn conceal(&mut self, pcm: &mut [f32], overlap: usize, channels: usize, usual: usize) {
        if self.length == 0 {
            self.length = usual;
        }
        self.mix(pcm, channels);
        self.tail.clear();
        self.tail.resize(overlap * channels, 0.0);
        self.place = usual.saturating_sub(overlap);
    }

    /// What comes next begins in the middle of a stream, whose first segment is not known: it was most likely a whole one.
    pub(super) fn join(&mut self, usual: usize) {
        *self = Self { length: usual, ..Self::default() };
    }

    fn mix(&mut self, pcm: &mut [f32], channels: usize) {
        // Numbers of samples are exact in these floats. At least 1, whatever lengths a damaged stream has.
        let weight = |at: usize| (at + 1).min(self.length.saturating_sub(at)).max(1) as f32;
        let frames = pcm.chunks_exact_mut(channels).zip(self.tail.chunks_exact(channels));
        for (i, (now, before)) in frames.enumerate() {
            let (a, b) = (weight(self.place + i), weight(i));
            now.iter_mut().zip(before).for_each(|(x, &y)| *x = (a * y + b * *x) / (a + b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_segments_agree_on_stays() {
        // Segments of 10 samples, 4 of which overlap, cut out of one ramp of two channels.
        let ramp =
            |from: usize, to: usize| (from..to).flat_map(|i| [i as f32, -(i as f32)]).collect::<Vec<_>>();
        let (mut overlap, mut heard) = (Overlap::default(), Vec::new());
        for (from, to, kept) in [(0, 10, 4), (6, 16, 4), (12, 15, 0)] {
            let mut pcm = ramp(from, to);
            overlap.add(&mut pcm, kept, 2);
            heard.extend(pcm);
        }
        let expected = ramp(0, 15);
        assert_eq!(heard.len(), expected.len());
        assert!(heard.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{heard:?}");
    }

    #[test]
    fn a_lost_segment_fades_out_and_the_next_in() {
        let mut overlap = Overlap::default();
        overlap.add(&mut vec![1.0; 10], 4, 1);
        let mut pcm = vec![0.0; 6];
        overlap.conceal(&mut pcm, 4, 1, 10);
        assert!(pcm[..4].is_sorted_by(|a, b| a > b) && pcm[0] < 1.0 && pcm[4..] == [0.0; 2], "{pcm:?}");
        let mut next = vec![1.0; 10];
        overlap.add(&mut next, 4, 1);
        assert!(next[..5].is_sorted_by(|a, b| a < b) && next[4..] == [1.0; 2], "{next:?}");
    }
}
