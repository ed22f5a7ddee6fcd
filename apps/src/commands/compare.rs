//! `siskin compare`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::events;
use crate::interrupt;
use crate::media::{self, AudioInput, resample_all};
use crate::media_file::{CodedFile, Decoding, describe_losses};
use crate::metrics::{STOI_RATE, mel_distance, si_sdr, stoi};
use crate::model::ModelArgs;
use crate::report;
use crate::units;
use crate::video;

/// Recordings are compared in memory, so they may not be longer than this.
// An hour of 48 kHz is 0.7 GB for each recording as floats.
const MAX_SECONDS: usize = 3600;

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The original: any audio or video that FFmpeg reads, or a coded file
    reference: PathBuf,
    /// What to compare with it: a coded file, which is decoded, or any audio
    output: PathBuf,
    /// Decode only the first N residual stages of the output
    #[arg(
        short = 's',
        long,
        alias = "codebooks",
        short_alias = 'c',
        value_name = "N",
        help_heading = "Decoding"
    )]
    stages: Option<u8>,
    #[command(flatten)]
    model: ModelArgs,
    /// Write the result as a JSON object
    #[arg(long, help_heading = "Messages")]
    pub(crate) json: bool,
}

/// A recording in memory.
struct Recording {
    /// Each channel by itself.
    channels: Vec<Vec<f32>>,
    rate: u32,
    coded: Option<Coded>,
}

/// What a coded recording cost.
struct Coded {
    bytes: u64,
    packet_bytes: u64,
}

pub(crate) fn run_compare(args: &CompareArgs) -> Result<ExitCode> {
    media::init_ffmpeg()?;
    if video::compare::is_video(&args.output) || video::compare::is_video(&args.reference) {
        return video::compare::run(&args.reference, &args.output, &|| args.model.video_runtime(), args.json);
    }
    // As many channels as what is coded has; of plain sound the mix is compared.
    let coded = |path: &Path| CodedFile::is_coded(path).then(|| CodedFile::open(path)).transpose();
    let (a, b) = (coded(&args.reference)?, coded(&args.output)?);
    let channels = a.iter().chain(&b).map(|file| file.header().channels).min().unwrap_or(1);
    drop((a, b));
    let reference = load_recording(&args.reference, args, None, channels)?;
    let output = load_recording(&args.output, args, args.stages, channels)?;
    // Both at the lower rate: above its own half a recording has nothing to compare.
    let rate = reference.rate.min(output.rate);
    let (mut sdrs, mut mels, mut stois) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_reference, mut of_output) = (0, 0);
    for (x, y) in reference.channels.iter().zip(&output.channels) {
        let mut x = resample_all(x, reference.rate, rate)?;
        let mut y = resample_all(y, output.rate, rate)?;
        (of_reference, of_output) = (x.len(), y.len());
        // Lengths may differ by padding; the difference is shown and not an error.
        let common = of_reference.min(of_output);
        x.truncate(common);
        y.truncate(common);
        sdrs.push(si_sdr(&x, &y));
        mels.push(mel_distance(&x, &y, rate));
        stois.push(stoi(&resample_all(&x, rate, STOI_RATE)?, &resample_all(&y, rate, STOI_RATE)?));
    }
    let seconds = of_reference.min(of_output) as f64 / f64::from(rate);
    let (sdr, mel, stoi) = (mean(&sdrs), mean(&mels), mean(&stois));
    let coded_seconds = output.len() as f64 / f64::from(output.rate);
    if args.json {
        return report::write_json_line(&events::Compare {
            reference: args.reference.to_string_lossy(),
            output: args.output.to_string_lossy(),
            sample_rate: rate,
            seconds,
            reference_samples: of_reference,
            output_samples: of_output,
            // JSON has no infinity, which equal recordings have.
            si_sdr_db: sdr.filter(|v| v.is_finite()),
            stoi,
            mel_distance: mel,
            bytes: output.coded.as_ref().map(|c| c.bytes),
            bits: output.coded.as_ref().map(|c| c.bytes * 8),
            bitrate: output.coded.as_ref().map(|c| units::rate_of(c.bytes, coded_seconds)),
            packet_bitrate: output.coded.as_ref().map(|c| units::rate_of(c.packet_bytes, coded_seconds)),
        })
        .map(|()| ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut row = |name: &str, value: String| writeln!(text, "{name:<14} {value}");
    row("compared", format!("{} at {rate} Hz", units::format_time(seconds)))?;
    if of_reference != of_output {
        row("length", format!("reference {of_reference} samples, output {of_output}"))?;
    }
    let number = |v: Option<f64>, unit: &str, digits| {
        v.map_or_else(|| "not defined".to_owned(), |v| format!("{v:.digits$}{unit}"))
    };
    row("SI-SDR", number(sdr, " dB", 2))?;
    row("STOI", number(stoi, "", 4))?;
    row("mel distance", number(mel, "", 4))?;
    if let Some(Coded { bytes, packet_bytes }) = output.coded {
        row(
            "on disk",
            format!("{} bits, {}", bytes * 8, units::format_bitrate(units::rate_of(bytes, coded_seconds))),
        )?;
        // Without the container, as papers on codecs give rates.
        row("in packets", units::format_bitrate(units::rate_of(packet_bytes, coded_seconds)))?;
    }
    report::print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The mean over the channels, if all have a value.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let sum: Option<f64> = values.iter().copied().sum();
    sum.map(|sum| sum / values.len().max(1) as f64)
}

fn load_recording(path: &Path, args: &CompareArgs, stages: Option<u8>, channels: u8) -> Result<Recording> {
    let recording = if CodedFile::is_coded(path) {
        let file = CodedFile::open(path)?;
        let bytes = file.bytes();
        // Decoded as `siskin decode` does it, with concealment: what is compared is what is heard.
        let mut decoding =
            Decoding::new(file, args.model.model.as_deref(), &args.model.runtime()?, stages, None)?;
        let (rate, own) = (decoding.rate(), decoding.channels());
        let samples = gather_samples(path, (rate, own), |out| decoding.next(out))?;
        decoding.check_any()?;
        let seconds = decoding.given_samples() as f64 / f64::from(rate);
        for line in describe_losses(decoding.losses(), decoding.name(), rate, seconds) {
            eprintln!("siskin: warning: {line}");
        }
        let coded = Some(Coded { bytes, packet_bytes: decoding.packet_bytes() });
        Recording { channels: split_channels(&samples, own, channels), rate, coded }
    } else {
        let mut input = AudioInput::open(path, None)?;
        input.set_channels(channels);
        let rate = input.rate();
        let samples = gather_samples(path, (rate, channels), |out| input.next(out))?;
        if samples.is_empty() {
            bail!("{}", input.describe_nothing());
        }
        Recording { channels: split_channels(&samples, channels, channels), rate, coded: None }
    };
    if recording.len() == 0 {
        bail!("{} holds no audio samples", path.display());
    }
    Ok(recording)
}

impl Recording {
    /// Samples of a channel.
    fn len(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }
}

/// Interleaved samples channel by channel; the mean of all if one is wanted.
fn split_channels(samples: &[f32], own: u8, wanted: u8) -> Vec<Vec<f32>> {
    let own = usize::from(own.max(1));
    if wanted == 1 {
        return vec![samples.chunks_exact(own).map(|s| s.iter().sum::<f32>() / own as f32).collect()];
    }
    (0..own).map(|channel| samples.iter().skip(channel).step_by(own).copied().collect()).collect()
}

fn gather_samples(
    path: &Path,
    (rate, channels): (u32, u8),
    mut next: impl FnMut(&mut Vec<f32>) -> Result<bool>,
) -> Result<Vec<f32>> {
    let mut samples = Vec::new();
    while next(&mut samples)? {
        interrupt::check_interrupt()?;
        if samples.len() > MAX_SECONDS * rate as usize * usize::from(channels) {
            bail!(
                "{} is longer than {} minutes, the most that is compared",
                path.display(),
                MAX_SECONDS / 60
            );
        }
    }
    Ok(samples)
}
