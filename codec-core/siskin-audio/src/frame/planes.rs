//! Interleaved samples, as callers have them, and one channel after another, as networks do.

/// Writes interleaved samples to `out` channel by channel.
pub(super) fn split_channels(pcm: &[f32], channels: usize, out: &mut [f32]) {
    if channels <= 1 {
        return out.copy_from_slice(pcm);
    }
    let count = pcm.len() / channels;
    for (channel, plane) in out.chunks_exact_mut(count.max(1)).enumerate() {
        plane.iter_mut().zip(pcm.iter().skip(channel).step_by(channels)).for_each(|(to, &x)| *to = x);
    }
}

/// Writes the channels of `planes` interleaved to `out`.
pub(super) fn join_channels(planes: &[f32], channels: usize, out: &mut [f32]) {
    if channels <= 1 {
        return out.copy_from_slice(planes);
    }
    let count = planes.len() / channels;
    for (channel, plane) in planes.chunks_exact(count.max(1)).enumerate() {
        out.iter_mut().skip(channel).step_by(channels).zip(plane).for_each(|(to, &x)| *to = x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_come_back() {
        let (pcm, mut planes, mut back) = ([1.0, 10.0, 2.0, 20.0, 3.0, 30.0], [0.0; 6], [0.0; 6]);
        split_channels(&pcm, 2, &mut planes);
        assert_eq!(planes, [1.0, 2.0, 3.0, 10.0, 20.0, 30.0]);
        join_channels(&planes, 2, &mut back);
        assert_eq!(back, pcm);
    }
}
