//! Samples of one channel or two to any file that FFmpeg writes.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use ffmpeg_next::codec::Id;
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::format::output_to_stream;
use ffmpeg_next::{Dictionary, Rational, media};
use siskin_core::container::{Chapter, TrackInfo};

use super::AudioTrack;
use crate::failure::usage_error;
use crate::target::is_dash;

/// What to write, as the output's name and the options say.
#[derive(Debug, Clone)]
pub(crate) struct OutputFormat {
    /// A name whose extension FFmpeg knows.
    name: String,
    /// FFmpeg's name of the format where no extension says it.
    muxer: Option<&'static str>,
    float: bool,
}

impl OutputFormat {
    /// The format that the extension of `path` names; WAV for `-` and for devices.
    pub(crate) fn of(path: &Path, float: bool, is_stream: bool) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let named = |muxer| Ok(Self { name: format!("out.{extension}"), muxer: Some(muxer), float });
        match extension.as_str() {
            // No header, as FFmpeg's format of that name.
            "f32" | "raw" => Ok(Self { float: true, ..named("f32le")? }),
            "wav" => named("wav"),
            "" if is_dash(path) || is_stream => named("wav"),
            "" => Err(usage_error(format!("{}: the extension says the format, e.g. .wav", path.display()))),
            _ => Ok(Self { name: format!("out.{extension}"), muxer: None, float }),
        }
    }
}

/// What a file says beside its tracks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    /// Tags: names and values.
    pub(crate) tags: Vec<(String, String)>,
    /// Chapters, where the container has such.
    pub(crate) chapters: Vec<Chapter>,
    /// What its tracks say of themselves.
    pub(crate) video: TrackLabels,
    pub(crate) sound: TrackLabels,
}

/// Most bytes of a track's title: what goes beyond comes from damage or malice.
const MAX_TITLE: usize = 1000;

/// What a track says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrackLabels {
    /// Its title.
    pub(crate) name: Option<String>,
    /// Its language, as Matroska and MP4 have it: three letters of ISO 639-2, or one of their longer tags.
    pub(crate) language: Option<String>,
}

impl TrackLabels {
    /// Those of a container; what says nothing is left out.
    pub(crate) fn new(name: Option<String>, language: Option<String>) -> Self {
        let name = name.filter(|name| !name.is_empty() && name.len() <= MAX_TITLE);
        // `und` is how containers say that they do not know.
        let is_one = |l: &String| {
            (2..=35).contains(&l.len())
                && l != "und"
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        Self { name, language: language.filter(is_one) }
    }

    /// Those of the first track of a codec in a Matroska file.
    pub(crate) fn of_codec(tracks: &[TrackInfo], codec_id: &str) -> Self {
        let track = tracks.iter().find(|t| t.codec_id == codec_id);
        track.map_or_else(Self::default, |t| Self::new(t.name.clone(), t.language.clone()))
    }

    /// As FFmpeg's metadata of a stream.
    pub(crate) fn metadata(&self) -> Dictionary<'static> {
        let mut metadata = Dictionary::new();
        self.name.iter().for_each(|name| metadata.set("title", &name.replace('\0', " ")));
        self.language.iter().for_each(|language| metadata.set("language", language));
        metadata
    }
}

impl Labels {
    /// Those of a coded file whose first sample or frame is at `start` nanoseconds, for an output that begins with it.
    pub(crate) fn new(tags: Vec<(String, String)>, chapters: &[Chapter], start: u64) -> Self {
        // Chapters that end before the first sample have nothing to stand for.
        let moved = chapters.iter().filter(|c| c.end_ns.is_none_or(|end| end > start)).map(|c| Chapter {
            start_ns: c.start_ns.saturating_sub(start),
            end_ns: c.end_ns.map(|end| end - start),
            title: c.title.clone(),
        });
        Self { tags, chapters: moved.collect(), ..Self::default() }
    }
}

/// Begins a file of FFmpeg's, to a file or else to stdout. `name` or `muxer` say the format.
pub(crate) fn begin_file(
    target: Option<File>,
    seekable: bool,
    name: &str,
    muxer: Option<&str>,
    labels: &Labels,
) -> Result<Output> {
    let io = match target {
        Some(file) if seekable => StreamIo::from_write_seek(file),
        // Pipes and devices: muxers then write what needs no going back.
        Some(file) => StreamIo::from_write(file),
        None => StreamIo::from_write(std::io::stdout()),
    };
    let mut context = output_to_stream(io?, Some(name), muxer).map_err(|_| {
        usage_error(format!("FFmpeg knows no format with the extension {}", dotted_extension(name)))
    })?;
    let mut metadata = Dictionary::new();
    // FFmpeg's names are in lower case, Matroska's in upper.
    labels.tags.iter().for_each(|(key, value)| metadata.set(&key.to_lowercase(), value));
    context.set_metadata(metadata);
    let ms = |ns: u64| i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX);
    let mut later = labels.chapters.iter().skip(1).map(|c| c.start_ns);
    for (number, chapter) in (1..).zip(&labels.chapters) {
        // A chapter without an end goes on to the next one.
        let end = later.next().filter(|_| chapter.end_ns.is_none()).or(chapter.end_ns);
        let end = end.unwrap_or(chapter.start_ns).max(chapter.start_ns);
        let title = chapter.title.replace('\0', " ");
        context
            .add_chapter(number, Rational(1, 1000), ms(chapter.start_ns), ms(end), title)
            .map_err(|e| anyhow!("the chapters cannot be written: {e}"))?;
    }
    Ok(context)
}

/// Lets a stream that was added say this of itself.
pub(crate) fn label_stream(context: &mut Output, index: usize, labels: &TrackLabels) {
    if *labels == TrackLabels::default() {
        return;
    }
    context.stream_mut(index).into_iter().for_each(|mut stream| stream.set_metadata(labels.metadata()));
}

/// Writes the head of a file whose tracks are there.
pub(crate) fn write_head(context: &mut Output) -> Result<()> {
    let mut options = Dictionary::new();
    // Four gigabytes is where a plain WAV file ends.
    options.set("rf64", "auto");
    // MP4 says in these units when a track begins: whole samples of the usual rates.
    options.set("movie_timescale", "240000");
    context.write_header_with(options).map_err(|e| anyhow!("the output cannot be written: {e}"))?;
    Ok(())
}

/// Ends a file whose tracks have ended.
pub(crate) fn end_file(mut context: Output) -> Result<()> {
    context.write_trailer().map_err(|e| anyhow!("the output cannot be written: {e}"))
}

/// The extension of an output's name, with its dot.
fn dotted_extension(name: &str) -> &str {
    name.trim_start_matches("out")
}

/// An output that is being written.
pub(crate) struct AudioOutput {
    context: Output,
    track: AudioTrack,
}

impl AudioOutput {
    /// Opens an output for samples of `rate` in one channel or two, interleaved, to a file or else to stdout.
    pub(crate) fn create(
        target: Option<File>,
        seekable: bool,
        format: &OutputFormat,
        (rate, channels): (u32, u8),
        labels: &Labels,
    ) -> Result<Self> {
        let mut context = begin_file(target, seekable, &format.name, format.muxer, labels)?;
        let id = codec_of(&context, format)?;
        let track = AudioTrack::add(&mut context, id, rate, channels)
            .with_context(|| format!("a {} file", dotted_extension(&format.name)))?;
        let mut own = labels.sound.clone();
        if labels.tags.iter().any(|(key, _)| key.eq_ignore_ascii_case("title")) {
            // Ogg has one title, which is that of the file.
            own.name = own.name.filter(|_| context.format().name() != "ogg");
        }
        label_stream(&mut context, 0, &own);
        write_head(&mut context)?;
        Ok(Self { context, track })
    }

    /// The rate that the output has, which differs where its codec does not know the samples' own.
    pub(crate) fn rate(&self) -> u32 {
        self.track.rate()
    }

    /// Writes samples.
    pub(crate) fn write(&mut self, samples: &[f32]) -> Result<()> {
        self.track.write(samples, &mut self.context)
    }

    /// Writes what is left and ends the file.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.track.finish(&mut self.context)?;
        end_file(self.context)
    }
}

fn codec_of(context: &Output, format: &OutputFormat) -> Result<Id> {
    let id = match context.format().codec(&format.name, media::Type::Audio) {
        // FFmpeg's choice is Vorbis; a file of sound alone loses no more than one with video beside it.
        _ if context.format().name() == "matroska" && format.float => return Ok(Id::PCM_F32LE),
        _ if context.format().name() == "matroska" => Id::FLAC,
        id => id,
    };
    match (id, format.float) {
        (Id::None, _) => Err(usage_error(format!("{} files hold no audio", context.format().name()))),
        // The default of WAV; others that hold PCM take floats in their byte order.
        (Id::PCM_S16LE, true) => Ok(Id::PCM_F32LE),
        (Id::PCM_S16BE, true) => Ok(Id::PCM_F32BE),
        (Id::PCM_F32LE | Id::PCM_F32BE, true) | (_, false) => Ok(id),
        (_, true) => {
            Err(usage_error(format!("--float: {} files do not hold float samples", context.format().name())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_say_what_they_know() {
        let labels = |language: &str| TrackLabels::new(Some("Main".into()), Some(language.into()));
        assert_eq!(labels("deu").language.as_deref(), Some("deu"));
        assert_eq!(labels("und").language, None);
        assert_eq!(labels("d\u{e9}u").language, None);
        assert_eq!(labels("deu").metadata().get("title"), Some("Main"));
        assert_eq!(TrackLabels::new(Some(String::new()), None), TrackLabels::default());
    }
}
