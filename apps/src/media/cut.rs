//! Parts of decoded frames of sound.

use std::ops::Range;

use anyhow::{Result, anyhow};
use ffmpeg_next::{ChannelLayout, frame};

/// Some of a frame's samples, by their numbers within it, as a frame without a time.
pub(super) fn cut_frame(frame: &frame::Audio, samples: Range<usize>) -> Result<frame::Audio> {
    // Decoders of PCM state only a number of channels, and a frame of no layout has none.
    let layout = match frame.channel_layout() {
        known if !known.is_empty() => known,
        _ => ChannelLayout::default(frame.channels().into()),
    };
    let mut kept = frame::Audio::new(frame.format(), samples.len(), layout);
    kept.set_rate(frame.rate());
    let (planes, channels) = match frame.is_planar() {
        true => (usize::from(frame.channels()), 1),
        false => (1, usize::from(frame.channels())),
    };
    let bytes = frame.format().bytes() * channels;
    for plane in 0..planes {
        let from = frame.data(plane).get(samples.start * bytes..samples.end * bytes);
        let to = kept.data_mut(plane).get_mut(..samples.len() * bytes);
        let (Some(from), Some(to)) = (from, to) else {
            return Err(anyhow!("a frame of sound lacks samples"));
        };
        to.copy_from_slice(from);
    }
    Ok(kept)
}
