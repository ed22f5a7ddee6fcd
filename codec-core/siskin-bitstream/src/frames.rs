//! The codes of several frames, each with as many stages as it has.

/// Codes of frames one after another, `[stage][group]` each.
///
/// ```
/// use siskin_bitstream::Frames;
///
/// // Two frames of one group, the first of three stages, the second of one.
/// let mut frames = Frames::new(1);
/// frames.push_frame(&[5, 6, 7]);
/// frames.push_frame(&[8]);
/// frames.truncate_stages(2);
/// assert_eq!(frames.codes(), [5, 6, 8]);
/// assert_eq!(frames.stage_counts(), [2, 1]);
/// ```
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Frames {
    // One vector for all frames, not one for each: packets are cut, coded and recoded without an allocation per
    // frame.
    codes: Vec<u16>,
    // Stages and not codes of each frame, so that a count fits a byte and the packet's field.
    counts: Vec<u8>,
    groups: usize,
}

impl Clone for Frames {
    fn clone(&self) -> Self {
        Self { codes: self.codes.clone(), counts: self.counts.clone(), groups: self.groups }
    }

    // By hand: the derived one would not use the vectors that are there.
    fn clone_from(&mut self, from: &Self) {
        let Self { codes, counts, groups } = from;
        self.codes.clone_from(codes);
        self.counts.clone_from(counts);
        self.groups = *groups;
    }
}

impl Frames {
    /// Makes an empty one for codes with so many groups a stage.
    pub fn new(groups: u8) -> Self {
        Self { groups: groups.into(), ..Default::default() }
    }

    /// Makes an empty one with room for so many frames of so many stages without another allocation.
    pub fn with_capacity(groups: u8, frames: usize, stages: u8) -> Self {
        let codes = Vec::with_capacity(frames * usize::from(stages) * usize::from(groups));
        Self { codes, counts: Vec::with_capacity(frames), groups: groups.into() }
    }

    /// Forgets the frames and takes another number of groups.
    pub fn clear_for(&mut self, groups: u8) {
        self.codes.clear();
        self.counts.clear();
        self.groups = groups.into();
    }

    /// Adds a frame; codes beyond the last whole stage, or beyond 255 stages, are left out.
    pub fn push_frame(&mut self, codes: &[u16]) {
        // `max(1)` against a division by 0 in the default value, which has no groups yet.
        let count = (codes.len() / self.groups.max(1)).min(255);
        self.codes.extend_from_slice(&codes[..count * self.groups]);
        self.counts.push(count as u8);
    }

    /// Frames.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Stages of the frame that has most, 0 without frames.
    pub fn max_stages(&self) -> u8 {
        self.counts.iter().copied().max().unwrap_or_default()
    }

    /// Stages of each frame.
    pub fn stage_counts(&self) -> &[u8] {
        &self.counts
    }

    /// Whether not all frames have the same stages.
    pub fn is_variable(&self) -> bool {
        self.counts.windows(2).any(|pair| pair[0] != pair[1])
    }

    /// All codes.
    pub fn codes(&self) -> &[u16] {
        &self.codes
    }

    /// The codes of each frame.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u16]> {
        let mut rest = self.codes.as_slice();
        self.counts.iter().map(move |&count| {
            // Bounded by what is there: `parts_mut` lets a decoder fill the two vectors one after the other.
            let (frame, later) = rest.split_at((usize::from(count) * self.groups).min(rest.len()));
            rest = later;
            frame
        })
    }

    /// Leaves each frame no more than its first `stages` stages.
    pub fn truncate_stages(&mut self, stages: u8) {
        // Moved to the front in place: `to` never passes `from`, so nothing unread is overwritten.
        let (mut from, mut to) = (0, 0);
        for count in &mut self.counts {
            let all = usize::from(*count) * self.groups;
            *count = stages.min(*count);
            let kept = usize::from(*count) * self.groups;
            self.codes.copy_within(from..from + kept, to);
            (from, to) = (from + all, to + kept);
        }
        self.codes.truncate(to);
    }

    /// Takes frames of these stages, whose codes come from `code`: the first stage of all frames that have it, then the
    /// second, and so on.
    pub(super) fn fill_stages(&mut self, counts: impl Iterator<Item = u8>, mut code: impl FnMut() -> u16) {
        self.counts.clear();
        self.counts.extend(counts);
        let total = self.counts.iter().map(|&c| usize::from(c) * self.groups).sum();
        self.codes.resize(total, 0);
        // The packet's order is stage-major, that of `codes` frame-major, so each stage is scattered over the
        // frames.
        for stage in 0..usize::from(self.max_stages()) {
            let mut at = 0;
            for &count in &self.counts {
                if stage < usize::from(count) {
                    let part = at + stage * self.groups;
                    self.codes[part..part + self.groups].iter_mut().for_each(|c| *c = code());
                }
                at += usize::from(count) * self.groups;
            }
        }
    }

    /// All codes and the stages of each frame, for a decoder that appends to both.
    pub fn parts_mut(&mut self) -> (&mut Vec<u16>, &mut Vec<u8>) {
        (&mut self.codes, &mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_leaves_prefixes() {
        let mut frames = Frames::new(2);
        frames.push_frame(&[1, 2, 3, 4, 5, 6]);
        frames.push_frame(&[7, 8]);
        frames.push_frame(&[9, 10, 11, 12]);
        assert!(frames.is_variable() && frames.max_stages() == 3 && frames.len() == 3);
        frames.truncate_stages(2);
        let parts: Vec<Vec<u16>> = frames.iter().map(<[u16]>::to_vec).collect();
        assert_eq!(parts, [vec![1, 2, 3, 4], vec![7, 8], vec![9, 10, 11, 12]]);
        frames.truncate_stages(1);
        assert_eq!(frames.codes(), [1, 2, 7, 8, 9, 10]);
        assert!(!frames.is_variable());
    }
}
