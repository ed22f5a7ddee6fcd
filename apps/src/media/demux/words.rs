//! What is told of an input.

use super::{Kind, Source, is_cover};

impl Source {
    /// That nothing of a kind could be decoded, in words, and why if that is known.
    pub(crate) fn describe_nothing(&self, kind: Kind) -> String {
        let demuxer = self.lock();
        let what = if kind == Kind::Audio { "audio samples" } else { "video frames" };
        let held = format!("{} holds no {what}", demuxer.name);
        if !demuxer.length.is_index_behind() {
            return held;
        }
        format!(
            "{held} that can be read once from front to back: its index (moov) lies at its end. Name a file, or write it with \
             ffmpeg -movflags faststart"
        )
    }

    /// Which track of a kind is read, in words, where there are several.
    pub(crate) fn describe_choice(&self, kind: Kind) -> Option<String> {
        let demuxer = self.lock();
        let chosen = demuxer.streams[kind as usize].as_ref()?.index;
        let of_kind =
            demuxer.input.streams().filter(|s| s.parameters().medium() == kind.media_type() && !is_cover(s));
        let indices: Vec<usize> = of_kind.map(|s| s.index()).collect();
        let number = 1 + indices.iter().position(|&index| index == chosen).filter(|_| indices.len() > 1)?;
        let stream = demuxer.input.stream(chosen)?;
        let language = stream.metadata().get("language").filter(|l| *l != "und").map(str::to_owned);
        let facts = [Some(stream.parameters().id().name().to_owned()), language];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        let what = if kind == Kind::Audio { "audio" } else { "video" };
        Some(format!("Taking {what} track {number} of {}: {}", indices.len(), facts.join(", ")))
    }

    /// Where the input's clock was set, in words.
    pub(crate) fn describe_jumps(&self) -> Vec<String> {
        let demuxer = self.lock();
        let jumps = demuxer.timeline.jumps.iter();
        let told = jumps.map(|&(at, by)| {
            let (at, by) = (at as f64 / 1e9, by as f64 / 1e9);
            format!("the input's clock jumps by {by:.3} s at {at:.3} s: what follows goes on from there")
        });
        told.collect()
    }
}
