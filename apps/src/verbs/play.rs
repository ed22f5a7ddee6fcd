//! `siskin play`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{Device, ErrorKind, FromSample, SampleFormat, SizedSample, Stream, SupportedStreamConfig};
use crossbeam::queue::ArrayQueue;
use serde_json::json;

use crate::cli::{ModelArgs, ReportArgs};
use crate::coded::{CodedFile, Decoding};
use crate::failure::usage;
use crate::media;
use crate::playback::Ring;
use crate::report::{self, Progress, Report};
use crate::units;

/// How often the main thread looks.
const TICK: Duration = Duration::from_millis(50);
/// A device that takes nothing for so many ticks is not going to.
const STALLED_TICKS: u32 = 100;

/// Arguments of `play`.
#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    /// Coded file, - for stdin
    #[arg(required_unless_present = "list_devices")]
    file: Option<PathBuf>,
    /// Sound device, by a name of --list-devices
    #[arg(long, value_name = "NAME", help_heading = "Playing")]
    device: Option<String>,
    /// List the sound devices and end
    #[arg(long, help_heading = "Playing")]
    list_devices: bool,
    /// Where to begin, in seconds
    #[arg(long, value_name = "SECONDS", help_heading = "Playing")]
    start: Option<f64>,
    /// Decode only the first N residual stages
    #[arg(short, long, value_name = "N", help_heading = "Playing")]
    codebooks: Option<u8>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run(args: &PlayArgs) -> Result<ExitCode> {
    // Taken and dropped unread: what ALSA would write to stderr comes as an error, too.
    #[cfg(target_os = "linux")]
    let _alsa_messages = alsa::Output::local_error_handler();
    let host = cpal::default_host();
    if args.list_devices {
        return list(&host, args.report.json);
    }
    let Some(path) = &args.file else { return Err(usage("name a file to play")) };
    let mut report = Report::new(&args.report, false)?;
    media::init()?;
    let file = CodedFile::open(path)?;
    let mut decoding =
        Decoding::new(file, args.model.model.as_deref(), &args.model.runtime()?, args.codebooks)?;
    let total = decoding.file().stated_samples().map(|s| s as f64 / f64::from(decoding.rate()));
    let name = decoding.file().name().to_owned();
    let start = args.start.unwrap_or(0.0);
    if !(0.0..=total.unwrap_or(f64::MAX)).contains(&start) {
        let end = total.map_or("the end".into(), |t| format!("{t:.2}"));
        return Err(usage(format!("--start is {start}, {name} goes from 0 to {end}")));
    }
    if start > 0.0 {
        decoding.seek(start)?;
    }
    let device = device(&host, args.device.as_deref())?;
    let config = config(&device, decoding.rate())?;
    let (rate, errors) = (config.sample_rate(), Arc::new(ArrayQueue::new(8)));
    let ring = Ring::new(rate);
    let stream = open(&device, &config, &ring, &errors)
        .map_err(|e| anyhow!("the sound device {device} cannot be opened: {e}"))?;
    report.note(&format!("Playing on {device} at {rate} Hz"));
    let worker = std::thread::spawn({
        let ring = ring.clone();
        move || ring.feed(&mut decoding, rate).map(|()| decoding)
    });
    while !ring.is_primed() {
        std::thread::sleep(TICK / 10);
    }
    stream.play().map_err(|e| anyhow!("the sound device {device} cannot be started: {e}"))?;
    let (mut last, mut still) = (0, 0);
    while !ring.is_drained() {
        std::thread::sleep(TICK);
        if let Some(error) = errors.pop() {
            ring.stop();
            bail!("the sound device {device} failed: {error}");
        }
        let played = ring.played();
        still = if played == last { still + 1 } else { 0 };
        last = played;
        if still > STALLED_TICKS {
            ring.stop();
            bail!("the sound device {device} takes no samples");
        }
        let seconds = played as f64 / f64::from(rate);
        report.progress(Progress { seconds, total: total.map(|t| t - start), bytes: 0 })?;
    }
    // What the device has taken is still to be heard.
    std::thread::sleep(TICK * 4);
    drop(stream);
    let decoding = worker.join().map_err(|_| anyhow!("the decoding thread failed"))??;
    decoding.check_any()?;
    let seconds = decoding.given() as f64 / f64::from(decoding.rate());
    for line in decoding.losses().describe(&name, decoding.rate(), start + seconds) {
        report.warn(&line)?;
    }
    if ring.underruns() > 0 {
        report.warn(&format!("the decoder was too slow {} times", ring.underruns()))?;
    }
    report.done(
        &format!("Played {}", units::clock(seconds)),
        &json!({
            "type": "result",
            "verb": "play",
            "device": device.to_string(),
            "device_rate": rate,
            "seconds": seconds,
            "underruns": ring.underruns(),
        }),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn list(host: &cpal::Host, json: bool) -> Result<ExitCode> {
    let devices = host.output_devices().map_err(|e| anyhow!("sound devices cannot be listed: {e}"))?;
    let default = host.default_output_device();
    for device in devices {
        let is_default = default.as_ref() == Some(&device);
        if json {
            report::line(&json!({ "type": "device", "name": device.to_string(), "default": is_default }))?;
        } else {
            report::print(&format!("{device}{}\n", if is_default { " (default)" } else { "" }))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn device(host: &cpal::Host, name: Option<&str>) -> Result<Device> {
    let Some(name) = name else {
        return host.default_output_device().context("no sound device (see siskin play --list-devices)");
    };
    let mut devices = host.devices().map_err(|e| anyhow!("sound devices cannot be listed: {e}"))?;
    let fits = |d: &Device| d.to_string() == name || d.id().is_ok_and(|id| id.id() == name);
    devices.find(fits).ok_or_else(|| anyhow!("no sound device {name:?} (see siskin play --list-devices)"))
}

/// The device's configuration at `rate` if it has one, else its usual one; float before integers.
fn config(device: &Device, rate: u32) -> Result<SupportedStreamConfig> {
    let fail = |e: cpal::Error| anyhow!("no sound from {device}: {e}");
    let rank = |f: SampleFormat| match f {
        SampleFormat::F32 => 0,
        SampleFormat::I16 => 1,
        SampleFormat::I32 => 2,
        _ => 3,
    };
    let offered = device.supported_output_configs().map_err(fail)?;
    let best = offered
        .filter_map(|c| c.try_with_sample_rate(rate))
        .filter(|c| rank(c.sample_format()) < 3)
        .min_by_key(|c| (rank(c.sample_format()), c.channels().abs_diff(2)));
    best.map_or_else(|| device.default_output_config().map_err(fail), Ok)
}

fn open(
    device: &Device,
    config: &SupportedStreamConfig,
    ring: &Arc<Ring>,
    errors: &Arc<ArrayQueue<cpal::Error>>,
) -> Result<Stream, cpal::Error> {
    match config.sample_format() {
        SampleFormat::F32 => open_as::<f32>(device, config, ring, errors),
        SampleFormat::I16 => open_as::<i16>(device, config, ring, errors),
        SampleFormat::I32 => open_as::<i32>(device, config, ring, errors),
        SampleFormat::U8 => open_as::<u8>(device, config, ring, errors),
        _ => Err(cpal::Error::new(ErrorKind::UnsupportedConfig)),
    }
}

fn open_as<T: SizedSample + FromSample<f32>>(
    device: &Device,
    config: &SupportedStreamConfig,
    ring: &Arc<Ring>,
    errors: &Arc<ArrayQueue<cpal::Error>>,
) -> Result<Stream, cpal::Error> {
    let (ring, errors, channels) = (ring.clone(), errors.clone(), usize::from(config.channels()));
    device.build_output_stream(
        config.config(),
        move |out: &mut [T], _| ring.fill(out, channels, |s| T::from_sample_(s.clamp(-1.0, 1.0))),
        move |error| match error.kind() {
            // Heard, and counted by the ring where it is our fault; playing goes on.
            ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
            // A full queue holds an error already, and one is enough to end.
            _ => drop(errors.push(error)),
        },
        None,
    )
}
