//! Which bundle suits the sound of an input.

use std::path::Path;

use anyhow::Result;
use siskin_core::audio::{Content, ContentDetector};
use siskin_core::bundle::Bundle;

use crate::media::AudioInput;
use crate::model::{GENERAL, SPEECH};
use crate::target::is_dash;

/// Values of `--audio`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AudioKind {
    /// Voices: speech-24k, in mono
    Speech,
    /// Music and all other sound: audio-48k, in stereo
    General,
    /// Whichever the first half minute is, and general for stereo; speech for pipes and URLs, with --stages or --dtx, and below 6 kb/s
    Auto,
}

/// Seconds of an input that are listened to.
// 10 parts of 3 s: one bar of music ahead of speech, or a spoken title ahead of music, decides nothing.
const LISTENED_SECONDS: usize = 30;
/// Bit rate in b/s from which audio-48k was trained.
const LOWEST_GENERAL: u32 = 6000;
/// Highest bit rate in b/s that speech-24k has.
pub(crate) const HIGHEST_SPEECH: u32 = 9000;

/// A bundle for the sound of `input`, and words that say why where it was chosen by listening. `needs_speech`: other options mean
/// or need speech-24k.
pub(crate) fn bundle_for(
    kind: AudioKind,
    input: &Path,
    bitrate: Option<u32>,
    needs_speech: bool,
) -> Result<(Bundle, Option<String>)> {
    let name = match kind {
        AudioKind::Speech => SPEECH,
        AudioKind::General => GENERAL,
        AudioKind::Auto if needs_speech || bitrate.is_some_and(|b| b < LOWEST_GENERAL) => SPEECH,
        AudioKind::Auto if bitrate.is_some_and(|b| b > HIGHEST_SPEECH) => GENERAL,
        AudioKind::Auto => return listen(input),
    };
    Ok((Bundle::find(name)?, None))
}

fn listen(input: &Path) -> Result<(Bundle, Option<String>)> {
    if !can_be_read_twice(input) {
        let words = format!(
            "The input can be read once only, so it is taken for speech: --audio general for {GENERAL}"
        );
        return Ok((Bundle::find(SPEECH)?, Some(words)));
    }
    // What fails here fails again where the input is opened to be encoded, and is told there.
    let content = content_of(input).unwrap_or_default();
    if content != Some(Content::General) {
        let words = content.map(|_| format!("Taken for speech: {SPEECH}, --audio general for {GENERAL}"));
        return Ok((Bundle::find(SPEECH)?, words));
    }
    match Bundle::find(GENERAL) {
        Ok(bundle) => {
            let words = format!("Taken for music, sounds or stereo: {GENERAL}, --audio speech for {SPEECH}");
            Ok((bundle, Some(words)))
        }
        Err(missing) => {
            let words = format!("Taken for music, sounds or stereo, but encoded as speech: {missing}");
            Ok((Bundle::find(SPEECH)?, Some(words)))
        }
    }
}

fn can_be_read_twice(input: &Path) -> bool {
    !is_dash(input) && std::fs::metadata(input).is_ok_and(|m| m.is_file())
}

fn content_of(input: &Path) -> Result<Option<Content>> {
    let mut sound = AudioInput::open(input, Some(ContentDetector::SAMPLE_RATE))?;
    let channels = if sound.channels() >= 2 { 2 } else { 1 };
    sound.set_channels(channels);
    let mut detector = ContentDetector::new(channels);
    let (mut pcm, mut left) =
        (Vec::new(), LISTENED_SECONDS * ContentDetector::SAMPLE_RATE as usize * usize::from(channels));
    while left > 0 && sound.next(&mut pcm)? {
        let taken = pcm.len().min(left);
        detector.push_samples(&pcm[..taken]);
        left -= taken;
        pcm.clear();
    }
    Ok(detector.content())
}
