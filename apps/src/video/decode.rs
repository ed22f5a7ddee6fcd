//! Decoding a video file: to raw frames, or with its sound to an ordinary file.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use siskin_core::container::{AUDIO_CODEC_ID, VIDEO_CODEC_ID};
use siskin_core::media::VideoFrame;
use siskin_core::runtime::Runtime;

use super::VideoFile;
use super::convert::{SITING_TAG, Siting};
use super::frame_reader::FrameReader;
use super::movie::{Container, Movie};
use super::resume::SETTINGS_TAG;
use super::y4m::{RawFormat, RawOutput};
use crate::events;
use crate::failure::usage_error;
use crate::interrupt;
use crate::media::Labels;
use crate::media_file::{CodedFile, Decoding, describe_losses};
use crate::report::Report;
use crate::target::Target;
use crate::units;

/// Files that could hold frames too, but are not written.
const OTHERS: [&str; 7] = ["avi", "flv", "mpg", "mpeg", "ogv", "ts", "webm"];

/// What is written of a file with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The frames.
    Raw(RawFormat),
    /// The frames, and the sound beside them if there is one.
    Movie(Container),
}

impl Output {
    /// Whether an output named `path` takes video.
    pub(crate) fn is_of_video(path: &Path) -> bool {
        RawFormat::of(path, false).is_some() || Container::of(path).is_some()
    }

    /// What an output named `path` takes of the file at `input`; none if it is for the sound alone.
    pub(crate) fn of(path: &Path, input: &Path) -> Result<Option<Self>> {
        let is_special = std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir());
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match (RawFormat::of(path, is_special), Container::of(path)) {
            (Some(raw), _) => Ok(Some(Self::Raw(raw))),
            (None, Some(container)) => Ok(Some(Self::Movie(container))),
            // A name for sound, such as .wav, takes the sound of a film alone.
            _ if CodedFile::is_coded(input) && !OTHERS.contains(&extension.as_str()) => Ok(None),
            _ => {
                let shown = path.display();
                Err(usage_error(format!("{shown}: video is decoded to .mkv, .mp4, .mov, .y4m or .rgb")))
            }
        }
    }
}

/// What a decoding is made from.
pub(crate) struct Job<'a> {
    /// The coded file.
    pub(crate) input: &'a Path,
    /// The output, for messages.
    pub(crate) output: &'a Path,
    /// The sound, if the output takes it and there is one.
    pub(crate) sound: Option<Decoding>,
    /// Whether the output takes sound.
    pub(crate) takes_sound: bool,
    /// Whether losses are simulated, which frames have no part in.
    pub(crate) loses_sound_only: bool,
    /// ONNX Runtime with its options.
    pub(crate) runtime: Runtime,
}

/// What frames are written to.
enum Writer {
    Raw(Box<RawOutput>),
    Movie(Box<Movie>, Option<Box<Sound>>),
}

impl Writer {
    /// Begins what an output takes, with the first frame that was read.
    fn begin(form: Output, target: &Target, reader: &FrameReader, sound: Option<Sound>) -> Result<Self> {
        let header = reader.file().header();
        let siting = Siting::of_tags(reader.file().tags());
        match form {
            Output::Movie(container) => {
                let file = (target.handle()?, target.is_file());
                let of_sound = sound.as_ref().map(|s| {
                    let decoding = &s.decoding;
                    (decoding.rate(), decoding.channels(), decoding.start_ns())
                });
                let tags: Vec<(String, String)> = reader
                    .file()
                    .tags()
                    .iter()
                    // They tell of the coded file: its encoder's settings, and siting, which the output states in its
                    // own way.
                    .filter(|t| ![SETTINGS_TAG, SITING_TAG].contains(&t.0.as_str()))
                    .cloned()
                    .collect();
                // Tracks keep their times in such files.
                let mut labels = Labels::new(tags, reader.file().chapters(), 0);
                labels.video = reader.file().labels(VIDEO_CODEC_ID);
                if sound.is_some() {
                    labels.sound = reader.file().labels(AUDIO_CODEC_ID);
                }
                let movie =
                    Movie::create(file, container, (header, siting, reader.time().0), of_sound, &labels)?;
                Ok(Self::Movie(Box::new(movie), sound.map(Box::new)))
            }
            Output::Raw(format) => {
                Ok(Self::Raw(Box::new(RawOutput::create(target.handle()?, format, header, siting)?)))
            }
        }
    }

    /// Writes a frame, and the sound up to its end.
    fn write(&mut self, frame: &VideoFrame, (start, duration): (u64, u64)) -> Result<()> {
        match self {
            Self::Raw(raw) => raw.write_frame(frame),
            Self::Movie(movie, sound) => {
                movie.write_frame(frame, (start, duration))?;
                // Side by side, so that the muxer need not hold one track for the other.
                sound.as_mut().map_or(Ok(()), |s| s.write_until(start.saturating_add(duration), movie))
            }
        }
    }

    /// Ends the output; gives the sound after its last sample.
    fn finish(self) -> Result<Option<Decoding>> {
        match self {
            Self::Raw(raw) => raw.finish().map(|()| None),
            Self::Movie(mut movie, mut sound) => {
                sound.as_mut().map_or(Ok(()), |s| s.write_until(u64::MAX, &mut movie))?;
                movie.finish()?;
                Ok(sound.map(|s| s.decoding))
            }
        }
    }
}

/// The sound on its way.
struct Sound {
    decoding: Decoding,
    /// Samples that have been decoded and not been written.
    waiting: Vec<f32>,
    ended: bool,
}

impl Sound {
    /// Decodes the beginning, so that it is known when that is.
    fn new(mut decoding: Decoding) -> Result<Self> {
        let mut waiting = Vec::new();
        let ended = !decoding.next(&mut waiting)?;
        Ok(Self { decoding, waiting, ended })
    }

    /// Writes what is heard up to a time in nanoseconds.
    fn write_until(&mut self, time: u64, movie: &mut Movie) -> Result<()> {
        loop {
            movie.sound(&self.waiting)?;
            self.waiting.clear();
            if self.ended || self.decoding.end_ns() > time {
                return Ok(());
            }
            interrupt::check_interrupt()?;
            self.ended = !self.decoding.next(&mut self.waiting)?;
        }
    }
}

/// Decodes the frames of a file.
pub(crate) fn run(
    job: Job<'_>,
    form: Output,
    open: impl FnOnce() -> Result<Target>,
    report: &mut Report,
) -> Result<ExitCode> {
    let (input, output) = (job.input, job.output);
    let file = VideoFile::open(input)?;
    let header = *file.header();
    if let Output::Movie(container) = form {
        // Before the output is opened.
        container.check(&header)?;
    }
    // To the nearest number of frames, as the container's length is one of milliseconds.
    let total =
        file.duration_ns().zip(header.frame_duration_ns()).map(|(all, one)| (all + one / 2) / one.max(1));
    let mut reader = FrameReader::new(file, &job.runtime);
    let others = reader.file().other_tracks(job.takes_sound);
    if !others.is_empty() {
        report.warn(&format!("Leaving out other tracks: {}", others.join(", ")))?;
    }
    if job.loses_sound_only {
        report.warn("--loss drops packets of sound only: all packets of video are decoded")?;
    }
    let target = open()?;
    if form == Output::Raw(RawFormat::Y4m) && header.frame_rate.0 == 0 {
        report.warn("the frame rate is not constant, which .y4m cannot say")?;
    }
    let mut sound = job.sound.map(Sound::new).transpose()?;
    let mut writer = None;
    while reader.next_frame()?.is_some() {
        interrupt::check_interrupt()?;
        let writer = match &mut writer {
            Some(writer) => writer,
            // With the first frame, whose time is when the file begins.
            none => none.insert(Writer::begin(form, &target, &reader, sound.take())?),
        };
        if let Some(frame) = reader.frame() {
            writer.write(frame, reader.time())?;
        }
        let (given, fps) = (reader.given, reader.given as f64 / report.elapsed().max(1e-3));
        report.show(
            || format!("{given} frames  {fps:.1} fps"),
            || events::VideoDecodeProgress { frames_done: given, frames_total: total, fps },
        )?;
    }
    // Before the file gets its name.
    reader.check_any()?;
    let sound = writer.map(Writer::finish).transpose()?.flatten();
    target.commit()?;
    for notice in reader.notices() {
        report.warn(&format!("{}: {notice}", reader.file().name()))?;
    }
    for fault in &reader.faults {
        report.warn(&format!("{}: {fault}", reader.file().name()))?;
    }
    if reader.file().is_truncated() {
        report.warn(&format!("{} is cut off", reader.file().name()))?;
    }
    let mut heard = String::new();
    if let Some(sound) = &sound {
        let seconds = sound.given_samples() as f64 / f64::from(sound.rate());
        for line in describe_losses(sound.losses(), sound.name(), sound.rate(), seconds) {
            report.warn(&line)?;
        }
        heard = format!(" and {} of sound", units::format_time(seconds));
    }
    let fps = reader.given as f64 / report.elapsed().max(1e-6);
    report.done(
        &format!("{} frames of {}x{}{heard}, {fps:.1} fps", reader.given, header.width, header.height),
        &events::VideoDecode {
            input: input.to_string_lossy(),
            output: output.to_string_lossy(),
            frames: reader.given,
            concealed_frames: reader.concealed,
            left_out_frames: reader.left_out,
            width: header.width,
            height: header.height,
            packets: reader.packets,
            packet_bytes: reader.packet_bytes,
            faults: reader.faults.len(),
            truncated: reader.file().is_truncated(),
            samples: sound.as_ref().map(Decoding::given_samples),
            concealed_samples: sound.as_ref().map(|s| s.losses().concealed_samples),
            elapsed_seconds: report.elapsed(),
            fps,
        },
    )?;
    Ok(ExitCode::SUCCESS)
}
