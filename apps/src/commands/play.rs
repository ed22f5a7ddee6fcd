//! `siskin play`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use tempfile::NamedTempFile;

use crate::audio_device::{self, Direction};
use crate::events;
use crate::failure::usage_error;
use crate::interrupt;
use crate::keyboard::{Key, Keys};
use crate::media;
use crate::media_file::{CodedFile, Decoding, describe_losses, read_pipe};
use crate::model::ModelArgs;
use crate::playback::{Output, Ring};
use crate::report::{Progress, Report, ReportArgs};
use crate::units;
use crate::video::play::SinkArgs;
use crate::video::{self, VideoFile};

/// How often the main thread looks.
const TICK: Duration = Duration::from_millis(50);
/// How long the decoding thread gets to end: a pipe may have it wait without end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Arguments of `play`.
#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// Coded file, - for stdin
    #[arg(required_unless_present = "list_devices")]
    file: Option<PathBuf>,
    /// Audio device, by its name in --list-devices
    #[arg(long, value_name = "NAME", help_heading = "Playing")]
    device: Option<String>,
    /// List the audio devices and exit
    #[arg(long, help_heading = "Playing")]
    list_devices: bool,
    /// Start position in seconds
    #[arg(long, value_name = "SECONDS", help_heading = "Playing")]
    start: Option<f64>,
    /// Decode only the first N residual stages
    #[arg(
        short = 's',
        long,
        alias = "codebooks",
        short_alias = 'c',
        value_name = "N",
        help_heading = "Playing"
    )]
    stages: Option<u8>,
    #[command(flatten)]
    sinks: SinkArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// A file with the bytes of a pipe, which goes with what is returned.
fn copy_of(data: &[u8]) -> Result<NamedTempFile> {
    let write = || -> std::io::Result<NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix("siskin-").suffix(".mkv").tempfile()?;
        file.write_all(data)?;
        Ok(file)
    };
    write().context("what the pipe gave cannot be kept in a file for the time of playing")
}

pub(crate) fn run_play(args: &PlayArgs) -> Result<ExitCode> {
    if args.list_devices {
        audio_device::list_devices(&[Direction::Playback], args.report.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(path) = &args.file else { return Err(usage_error("name a file to play")) };
    let mut report = Report::new(&args.report, false)?;
    // Only what was read can be asked for its tracks.
    let from_pipe = read_pipe(path)?;
    if VideoFile::is_video(path) {
        if args.device.is_some() || args.stages.is_some() {
            return Err(usage_error("--device and --stages are for files without video"));
        }
        // GStreamer opens a file, with seeks, and a pipe is empty by now.
        let copy = from_pipe.map(|data| copy_of(&data)).transpose()?;
        let file = copy.as_ref().map_or(path.as_path(), |copy| copy.path());
        return video::play::run(file, args.start, &args.sinks, &mut report);
    }
    media::init_ffmpeg()?;
    let file = CodedFile::open(path)?;
    let mut decoding =
        Decoding::new(file, args.model.model.as_deref(), &args.model.runtime()?, args.stages, None)?;
    let codec_rate = decoding.rate();
    let total = decoding.file().stated_samples().map(|s| s as f64 / f64::from(codec_rate));
    let name = decoding.name().to_owned();
    let start = args.start.unwrap_or(0.0);
    if !(0.0..=total.unwrap_or(f64::MAX)).contains(&start) {
        let end = total.map_or("the end".into(), |t| format!("{t:.2}"));
        return Err(usage_error(format!("--start is {start}, {name} goes from 0 to {end}")));
    }
    // A pipe cannot seek, and need not for the beginning.
    if start > 0.0 {
        decoding.seek(start)?;
    }
    let ring = Ring::new(codec_rate, decoding.channels(), start);
    let mut output = Output::open(args.device.clone(), codec_rate, ring.clone());
    let mut worker = Worker::Ready(Box::new(decoding));
    let played = play_until_end(&mut output, &mut worker, &ring, total, &mut report);
    // Also after an error: the worker may wait for room, and ends when it sees this.
    let has_ended = !ring.is_stopped();
    ring.stop();
    let xruns = output.recovered_errors();
    let (device, device_rate) = (output.name().to_owned(), output.rate());
    output.close();
    played?;
    let decoding = worker.end()?;
    // What was decoded to the end was played, and where the user ended it what the device took.
    let seconds = match &decoding {
        Some(decoding) if has_ended => decoding.given_samples() as f64 / f64::from(codec_rate),
        _ => ring.played_samples() as f64 / f64::from(device_rate.max(1)),
    };
    if let Some(decoding) = &decoding {
        decoding.check_any()?;
        for line in describe_losses(decoding.losses(), &name, codec_rate, start + seconds) {
            report.warn(&line)?;
        }
    }
    let underruns = ring.underruns();
    if underruns > 0 {
        report.warn(&format!("the decoder was too slow {underruns} times"))?;
    }
    if xruns > 0 {
        report.warn(&format!("the sound device {device} dropped out {xruns} times"))?;
    }
    report.done(
        &format!("Played {}", units::format_time(seconds)),
        &events::Play { device, device_rate, seconds, underruns, xruns },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Tends device and keyboard until all has been heard or the user has had enough.
fn play_until_end(
    output: &mut Output,
    worker: &mut Worker,
    ring: &Arc<Ring>,
    total: Option<f64>,
    report: &mut Report,
) -> Result<()> {
    let mut keys = Keys::open();
    let mut heard_at: Option<Instant> = None;
    loop {
        interrupt::check_interrupt()?;
        while let Some(key) = keys.as_mut().and_then(Keys::next_key) {
            // Once all has been decoded there is nobody to seek.
            if heard_at.is_none() || key == Key::Letter('q') {
                handle_key(key, ring, total);
            }
        }
        if ring.is_stopped() {
            return Ok(());
        }
        output.tend(&mut |text| report.note(text))?;
        if output.rate() > 0 && worker.start(ring) && keys.is_some() {
            report.note("Space pauses, arrows seek by 5 and 30 s, q quits");
        }
        // The worker may have ended just before a key sought back: that is not waited for.
        let is_over = ring.is_drained() || worker.is_finished() && ring.is_empty();
        if !is_over {
            report.progress(Progress { seconds: ring.position(), total, bytes: 0 })?;
        } else if *heard_at.get_or_insert_with(|| Instant::now() + output.delay()) <= Instant::now() {
            // What the device had taken has been heard, too.
            return Ok(());
        }
        std::thread::sleep(TICK);
    }
}

/// The thread that decodes.
enum Worker {
    Ready(Box<Decoding>),
    Running(JoinHandle<Result<Decoding>>),
    Gone,
}

impl Worker {
    /// Starts it, if it has not been started; says whether.
    // Not before the device is open, whose rate it converts to.
    fn start(&mut self, ring: &Arc<Ring>) -> bool {
        let Self::Ready(mut decoding) = std::mem::replace(self, Self::Gone) else { return false };
        let ring = ring.clone();
        *self = Self::Running(std::thread::spawn(move || ring.feed(&mut *decoding).map(|()| *decoding)));
        true
    }

    fn is_finished(&self) -> bool {
        matches!(self, Self::Running(thread) if thread.is_finished())
    }

    /// What it has decoded, unless it waits for input that does not come.
    fn end(self) -> Result<Option<Decoding>> {
        let thread = match self {
            Self::Ready(decoding) => return Ok(Some(*decoding)),
            Self::Running(thread) => thread,
            Self::Gone => return Ok(None),
        };
        let until = Instant::now() + PATIENCE;
        while !thread.is_finished() {
            if Instant::now() > until {
                return Ok(None);
            }
            std::thread::sleep(TICK / 10);
        }
        thread.join().map_err(|_| anyhow!("the decoding thread failed"))?.map(Some)
    }
}

/// Does what a key stands for.
fn handle_key(key: Key, ring: &Ring, total: Option<f64>) {
    let by = match key {
        Key::Letter(' ') => return ring.toggle_pause(),
        Key::Letter('q') => return ring.quit(),
        Key::Left => -5.0,
        Key::Right => 5.0,
        Key::Up => 30.0,
        Key::Down => -30.0,
        Key::Letter(_) => return,
    };
    ring.seek((ring.position() + by).min(total.unwrap_or(f64::MAX)));
}
