//! `siskin play`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use cpal::traits::StreamTrait;
use crossbeam::queue::ArrayQueue;

use crate::audio_device::{self, Direction, Errors};
use crate::events;
use crate::failure::usage_error;
use crate::keyboard::{Key, Keys};
use crate::media;
use crate::media_file::{CodedFile, Decoding};
use crate::model::ModelArgs;
use crate::playback::Ring;
use crate::report::{Progress, Report, ReportArgs};
use crate::units;
use crate::video::play::SinkArgs;
use crate::video::{self, VideoFile};

/// How often the main thread looks.
const TICK: Duration = Duration::from_millis(50);
/// A device that takes nothing for so many ticks is not going to.
// Five seconds: a sound server may take a second or two to wake a device.
const STALLED_TICKS: u32 = 100;

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

pub(crate) fn run_play(args: &PlayArgs) -> Result<ExitCode> {
    let host = audio_device::default_host();
    if args.list_devices {
        audio_device::list_devices(&host, &[Direction::Playback], args.report.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(path) = &args.file else { return Err(usage_error("name a file to play")) };
    let mut report = Report::new(&args.report, false)?;
    if VideoFile::is_video(path) {
        if args.device.is_some() || args.stages.is_some() {
            return Err(usage_error("--device and --stages are for files without video"));
        }
        return video::play::run(path, args.start, &args.sinks, &mut report);
    }
    media::init_ffmpeg()?;
    let file = CodedFile::open(path)?;
    let mut decoding = Decoding::new(file, args.model.model.as_deref(), &args.model.runtime()?, args.stages)?;
    let total = decoding.file().stated_samples().map(|s| s as f64 / f64::from(decoding.rate()));
    let name = decoding.file().name().to_owned();
    let start = args.start.unwrap_or(0.0);
    if !(0.0..=total.unwrap_or(f64::MAX)).contains(&start) {
        let end = total.map_or("the end".into(), |t| format!("{t:.2}"));
        return Err(usage_error(format!("--start is {start}, {name} goes from 0 to {end}")));
    }
    // A pipe cannot seek, and need not for the beginning.
    if start > 0.0 {
        decoding.seek(start)?;
    }
    let device = audio_device::find_device(&host, Direction::Playback, args.device.as_deref())?;
    let config = audio_device::choose_config(&device, Direction::Playback, decoding.rate())?;
    let (rate, errors): (_, Errors) = (config.sample_rate(), Arc::new(ArrayQueue::new(8)));
    let ring = Ring::new(rate, start);
    let stream =
        audio_device::open_playback(&device, config.config(), config.sample_format(), ring.clone(), &errors)
            .map_err(|e| anyhow!("the sound device {device} cannot be opened: {e}"))?;
    report.note(&format!("Playing on {device} at {rate} Hz"));
    let worker = std::thread::spawn({
        let ring = ring.clone();
        move || ring.feed(&mut decoding).map(|()| decoding)
    });
    // Started before, the device would play silence and count it as an underrun.
    while !ring.is_primed() {
        std::thread::sleep(TICK / 10);
    }
    stream.play().map_err(|e| anyhow!("the sound device {device} cannot be started: {e}"))?;
    let mut keys = Keys::open();
    if keys.is_some() {
        report.note("Space pauses, arrows seek by 5 and 30 s, q quits");
    }
    let (mut last, mut still) = (0, 0);
    while !ring.is_drained() {
        std::thread::sleep(TICK);
        while let Some(key) = keys.as_mut().and_then(Keys::next_key) {
            handle_key(key, &ring, total);
        }
        if let Some(error) = errors.pop() {
            // The worker may wait for room; it ends when it sees this.
            ring.stop();
            bail!("the sound device {device} failed: {error}");
        }
        let played = ring.played_samples();
        // A device that was pulled out often reports no error and just stops asking.
        still = if played == last && !ring.is_paused() { still + 1 } else { 0 };
        last = played;
        if still > STALLED_TICKS {
            ring.stop();
            bail!("the sound device {device} takes no samples");
        }
        report.progress(Progress { seconds: ring.position(), total, bytes: 0 })?;
    }
    ring.stop();
    // What the device has taken is still to be heard.
    std::thread::sleep(TICK * 4);
    // Before the worker is joined, so that no callback outlives what it plays from.
    drop(stream);
    let decoding = worker.join().map_err(|_| anyhow!("the decoding thread failed"))??;
    decoding.check_any()?;
    let seconds = decoding.given_samples() as f64 / f64::from(decoding.rate());
    for line in decoding.losses().describe(&name, decoding.rate(), start + seconds) {
        report.warn(&line)?;
    }
    if ring.underruns() > 0 {
        report.warn(&format!("the decoder was too slow {} times", ring.underruns()))?;
    }
    report.done(
        &format!("Played {}", units::format_time(seconds)),
        &events::Play { device: device.to_string(), device_rate: rate, seconds, underruns: ring.underruns() },
    )?;
    Ok(ExitCode::SUCCESS)
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
