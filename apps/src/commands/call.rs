//! `siskin call`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{ArgGroup, Args};

use crate::audio_device::{self, Direction};
use crate::call::{Call, CallOptions, Figures, Where};
use crate::events;
use crate::failure::usage_error;
use crate::keyboard::{Key, Keys};
use crate::media;
use crate::model::ModelArgs;
use crate::report::{self, Report, ReportArgs};
use crate::units;

/// How often the main thread tends the call: keys and the status line feel immediate at 20 per second.
const TICK: Duration = Duration::from_millis(50);
/// Bits per second that the codes of a repeated frame take, unless the user says otherwise.
// Two stages of `speech-24k`, a third of its usual rate: coarse, but heard for the length of a loss only.
const COPY_RATE: u32 = 2000;
/// How often statistics are written as NDJSON.
const LINES: Duration = Duration::from_secs(1);

/// Arguments of `call`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("side").required(true).args(["listen", "connect", "list_devices"])))]
pub(crate) struct CallArgs {
    /// Wait for a call at this address, such as 0.0.0.0:5004
    #[arg(long, value_name = "ADDRESS", help_heading = "Call")]
    listen: Option<String>,
    /// Call a listening siskin at this address
    #[arg(long, value_name = "ADDRESS", help_heading = "Call")]
    connect: Option<String>,
    /// Upper bound of the bit rate of codes, such as 6k [default: the bundle's]
    #[arg(short, long, value_name = "RATE", value_parser = units::parse_bitrate, help_heading = "Call")]
    bitrate: Option<u32>,
    /// In-band FEC: earlier frames that each packet repeats
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=16), help_heading = "Call")]
    redundancy: u8,
    /// Residual stages of the repeated frames [default: as many as fit 2 kb/s per frame repeated]
    #[arg(long, alias = "redundancy-codebooks", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64), help_heading = "Call")]
    redundancy_stages: Option<u8>,
    /// Hang up after this time
    #[arg(long, value_name = "SECONDS", help_heading = "Call")]
    seconds: Option<f64>,
    /// Microphone, by its name in --list-devices
    #[arg(long, value_name = "NAME", help_heading = "Sound")]
    input_device: Option<String>,
    /// Loudspeaker, by its name in --list-devices
    #[arg(long, value_name = "NAME", help_heading = "Sound")]
    output_device: Option<String>,
    /// Send this file in real time instead of the microphone, and hang up at its end
    #[arg(long, value_name = "FILE", conflicts_with = "input_device", help_heading = "Sound")]
    input: Option<PathBuf>,
    /// Write the decoded audio to this file instead of the loudspeaker
    #[arg(long, value_name = "FILE", conflicts_with = "output_device", help_heading = "Sound")]
    output: Option<PathBuf>,
    /// Overwrite the output if it exists
    #[arg(short = 'y', long, help_heading = "Sound")]
    yes: bool,
    /// List the audio devices and exit
    #[arg(long, help_heading = "Sound")]
    list_devices: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run_call(args: &CallArgs) -> Result<ExitCode> {
    if args.list_devices {
        audio_device::list_devices(&[Direction::Capture, Direction::Playback], args.report.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::new(&args.report, false)?;
    media::init_ffmpeg()?;
    let side = match (&args.listen, &args.connect) {
        (Some(address), _) => Where::Listen(address.clone()),
        (_, Some(address)) => Where::Connect(address.clone()),
        _ => return Err(usage_error("--listen or --connect says with whom to talk")),
    };
    if let Some(output) = args.output.as_ref().filter(|o| o.exists() && !args.yes) {
        return Err(usage_error(format!("{} exists already (-y overwrites)", output.display())));
    }
    let bundle = args.model.bundle()?;
    let manifest = bundle.manifest();
    if manifest.channels != 1 || manifest.segments.is_some() {
        let name = &manifest.name;
        return Err(usage_error(format!("{name} is not for calls, which take mono, frame by frame")));
    }
    let options = CallOptions {
        side,
        stages: args.bitrate.map(|b| bundle.manifest().stages_for(b)),
        redundancy: args.redundancy,
        redundant_stages: args.redundancy_stages.unwrap_or(bundle.manifest().stages_for(COPY_RATE)),
        input: args.input.clone(),
        output: args.output.clone(),
        input_device: args.input_device.clone(),
        output_device: args.output_device.clone(),
    };
    // Before it rings: a call that turns out to have no microphone helps nobody.
    if options.input.is_none() {
        audio_device::check_device(Direction::Capture, options.input_device.as_deref())
            .map_err(|e| e.context("no microphone, --input names a file instead"))?;
    }
    if options.output.is_none() {
        audio_device::check_device(Direction::Playback, options.output_device.as_deref())
            .map_err(|e| e.context("no loudspeaker, --output names a file instead"))?;
    }
    let mut call = Call::new(options, &bundle, args.model.runtime()?)?;
    let address = call.address()?;
    report.note(&match &args.listen {
        Some(_) => format!("Waiting for a call at {address}"),
        None => format!("Calling {address}"),
    });
    if args.report.json {
        report::write_json_line(&events::Ready { address: &address })?;
    }
    let talked = talk_until_end(&mut call, args, &mut report);
    // Before the end: to close everything takes time in which nobody talks.
    let figures = call.current_figures();
    let ended = call.end();
    // After all is closed, and the reason why the talk ended before what closing had to complain of.
    talked?;
    ended?;
    let text = format!("Talked for {}: {}", units::format_time(figures.seconds), format_summary(&figures));
    report.done(&text, &event(&figures))?;
    Ok(ExitCode::SUCCESS)
}

/// Tends the call until somebody hangs up.
fn talk_until_end(call: &mut Call, args: &CallArgs, report: &mut Report) -> Result<()> {
    // None without a terminal; the call then ends by an interrupt, `--seconds` or the peer.
    let mut keys = Keys::open();
    let mut due = Instant::now();
    let mut told = false;
    // An interrupt is a way to hang up.
    while !crate::interrupt::is_due() {
        if !call.tend(&mut |text| report.note(text))? {
            break;
        }
        match keys.as_mut().and_then(Keys::next_key) {
            Some(Key::Letter('m')) => call.toggle_mute(),
            Some(Key::Letter('q')) => break,
            _ => {}
        }
        let figures = call.current_figures();
        if args.seconds.is_some_and(|s| figures.seconds >= s) {
            break;
        }
        // Once, when they are open, with the time by which recordings of both sides can be laid over each other.
        if let Some(ports) = call.port_info().filter(|_| args.report.json && !told) {
            told = true;
            for port in ports {
                report::write_json_line(&events::CallDevice {
                    kind: port.kind,
                    name: &port.name,
                    rate: port.rate,
                    unix_seconds: port.since,
                })?;
            }
        }
        if call.is_answered() {
            report.status(&format_screen(&figures));
            if args.report.json && Instant::now() >= due {
                due = Instant::now() + LINES;
                report::write_json_line(&events::CallProgress { figures: event(&figures) })?;
            }
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

fn event(f: &Figures) -> events::CallFigures {
    events::CallFigures {
        seconds: f.seconds,
        said_db: f.said_db,
        heard_db: f.heard_db,
        sent_packets: f.sent_packets,
        bitrate: f.bitrate,
        wire_bitrate: f.wire_bitrate,
        packets: f.packets,
        lost_packets: f.lost,
        played_frames: f.played,
        recovered_frames: f.recovered,
        concealed_frames: f.concealed,
        late_frames: f.late,
        joined_frames: f.joined,
        broken_packets: f.broken,
        underruns: f.underruns,
        overruns: f.overruns,
        xruns: f.xruns,
        dropped_frames: f.dropped,
        jitter_ms: f.jitter * 1e3,
        buffer_ms: f.buffer * 1e3,
        round_trip_ms: f.round_trip.map(|t| t * 1e3),
        peer_loss: f.peer_loss,
        delay_ms: f.delay * 1e3,
    }
}

fn format_screen(f: &Figures) -> String {
    let muted = if f.muted { " (muted)" } else { "" };
    format!(
        "{}  you {}{muted}  peer {}  {}  {}",
        units::format_time(f.seconds),
        f.bars.0,
        f.bars.1,
        units::format_bitrate(f.bitrate),
        format_summary(f)
    )
}

fn format_summary(f: &Figures) -> String {
    // Of packets that should have come; frames have a share of their own, as copies may bring back what was lost.
    let all = (f.packets + f.lost).max(1) as f64;
    let frames = (f.played + f.recovered + f.concealed).max(1) as f64;
    format!(
        "loss {:.1} % (concealed {:.1} %)  jitter {:.1} ms  buffer {:.0} ms  delay {:.0} ms",
        100.0 * f.lost as f64 / all,
        100.0 * f.concealed as f64 / frames,
        f.jitter * 1e3,
        f.buffer * 1e3,
        f.delay * 1e3
    )
}
