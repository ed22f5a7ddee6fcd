//! `siskin encode`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use siskin_core::audio::{self, DEFAULT_LAMBDA, DEFAULT_SEARCH_WIDTH, Encoder, EncoderConfig};
use siskin_core::bundle::{Bundle, Conventions, Manifest, VideoBundle};

use crate::bench::peak_memory;
use crate::content::{self, AudioKind, HIGHEST_SPEECH};
use crate::events;
use crate::failure::usage_error;
use crate::media::{self, AudioInput, Kind, Source, describe_left_out, kept_tags};
use crate::media_file::{CodedFile, Sink};
use crate::model::{ModelArgs, SPEECH, stages_at};
use crate::report::{Progress, Report, ReportArgs};
use crate::target::{Overwrite, OverwriteArgs, Target, is_dash};
use crate::units;
use crate::video::{self, Sound, VideoArgs, VideoFile};

/// Samples taken from the input before the encoder gets them; bounds memory whatever the input does.
const BATCH: usize = 24_000;
/// Seconds after which a packet of a file carries the stream header again: readers of files find it at the start, so this
/// only serves those that lost it.
pub(crate) const HEADER_SECONDS: f64 = 10.0;

/// Values of `--rate-control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RateMode {
    /// The same number of stages for each frame (CBR before range coding)
    Constant,
    /// More stages for frames that gain more from them; packets take the bit rate on average
    Vbr,
}

/// Arguments of `encode`.
#[derive(Debug, Args)]
pub(crate) struct EncodeArgs {
    /// Any file or URL that FFmpeg reads, - for stdin
    input: PathBuf,
    /// Coded file: .mka for audio, .mkv for video and audio; - for a live stream on stdout
    output: PathBuf,
    /// What the sound is, which decides the bundle
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        default_value = "speech",
        conflicts_with = "model",
        help_heading = "Coding"
    )]
    audio: AudioKind,
    /// Bit rate of the audio in b/s, such as 6k or 6000: the average of packets, or with --rate-control constant an upper
    /// bound of the codes before range coding [default: the bundle's]
    #[arg(short, long, value_name = "RATE", value_parser = units::parse_bitrate, help_heading = "Coding")]
    bitrate: Option<u32>,
    /// How stages are assigned to frames [default: vbr, or constant if --stages is given]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Coding")]
    rate_control: Option<RateMode>,
    /// The same as --rate-control vbr
    #[arg(long, conflicts_with_all = ["rate_control", "stages"], help_heading = "Coding")]
    vbr: bool,
    /// Residual stages of every frame, a constant number, instead of a bit rate
    #[arg(
        short = 's',
        long,
        alias = "codebooks",
        short_alias = 'c',
        value_name = "N",
        conflicts_with = "bitrate",
        help_heading = "Coding"
    )]
    stages: Option<u8>,
    /// Codec frames per packet, 1 to 500: more of them reduce the container's overhead, but are lost together
    /// [default: a second, 50 at most]
    #[arg(long, alias = "frame-size", value_name = "N", help_heading = "Coding")]
    frames_per_packet: Option<u32>,
    /// Write codes at fixed width, without range coding
    #[arg(long, help_heading = "Coding")]
    fixed_width: bool,
    /// Width of the beam search over codes, 1 to 64: wider is better and slower
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEARCH_WIDTH, help_heading = "Coding")]
    search_width: usize,
    /// Weight of bits against distortion in that search, 0 to 4; 0 takes the nearest codes
    #[arg(long, alias = "bit-weight", value_name = "WEIGHT", default_value_t = DEFAULT_LAMBDA, help_heading = "Coding")]
    lambda: f32,
    /// In-band FEC: earlier frames that each packet repeats with few stages, 0 to 8
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=8), help_heading = "Coding")]
    redundancy: u8,
    /// Residual stages of the repeated frames
    #[arg(
        long,
        alias = "redundancy-codebooks",
        value_name = "N",
        default_value_t = 1,
        requires = "redundancy",
        help_heading = "Coding"
    )]
    redundancy_stages: u8,
    /// Discontinuous transmission: in silence send SID frames (comfort noise) instead of coded frames
    #[arg(long, help_heading = "Coding")]
    dtx: bool,
    /// Accept an input that ends before its stated duration; otherwise what is there is encoded and the exit code is 1
    #[arg(long, help_heading = "Coding")]
    allow_truncated: bool,
    #[command(flatten)]
    video: VideoArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run_encode(args: &EncodeArgs) -> Result<ExitCode> {
    check_name(&args.output)?;
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    media::init_ffmpeg()?;
    // FFmpeg knows neither codec and would only say that there is no decoder.
    if CodedFile::is_coded(&args.input) || VideoFile::is_video(&args.input) {
        return Err(usage_error(format!("{} is coded already, see siskin decode", args.input.display())));
    }
    // By the name alone: .mka promises sound, so the frames of an input stay out of it without being asked about.
    let may_hold_video = args.output.extension().is_some_and(|e| e.eq_ignore_ascii_case("mkv"));
    if args.video.preset.is_some() || may_hold_video && !args.video.no_video {
        let source = Source::open(&args.input)?;
        if args.video.preset.is_some() || source.has(Kind::Video) {
            return encode_video(args, source, &mut report);
        }
        return encode_sound(args, source, report);
    }
    // Before the input is opened, which takes seconds where it is a URL.
    check_sound_options(args)?;
    encode_sound(args, Source::open(&args.input)?, report)
}

/// Refuses options that are for frames where none are encoded.
fn check_sound_options(args: &EncodeArgs) -> Result<()> {
    if args.video.resume || args.video.watch.is_some() {
        let option = if args.video.resume { "--resume" } else { "--watch" };
        return Err(usage_error(format!("{option} is for pictures, and none are encoded here")));
    }
    if args.video.video_bitrate.is_some() {
        return Err(usage_error("--video-bitrate is for pictures, and none are encoded here"));
    }
    if args.video.no_audio {
        return Err(usage_error("--no-audio leaves nothing to encode"));
    }
    Ok(())
}

fn encode_sound(args: &EncodeArgs, source: Source, mut report: Report) -> Result<ExitCode> {
    check_sound_options(args)?;
    let bundle = choose_bundle(args, args.model.model.as_deref(), &report)?;
    let manifest = bundle.manifest();
    // All that may be wrong with the options comes before the output is opened, so that a mistyped rate costs no
    // file.
    let stages = choose_stages(args, manifest)?;
    check_packets(args, manifest)?;
    let rate = rate_control(args, manifest, bundle.stream_header().code_rate(stages));
    let mut input = AudioInput::open_alone(&source, Some(manifest.sample_rate))?;
    if input.start_ns().is_none() {
        // Before the output is opened, which on stdout would be left with a head alone.
        bail!("{}", input.describe_nothing());
    }
    input.set_channels(manifest.channels);
    source.describe_choice(Kind::Audio).iter().for_each(|words| report.note(words));
    describe_input(&input, manifest, &report);
    let runtime = args.model.runtime()?;
    let mut config = encoder_config(args, stages, rate, bundle.stream_header().frame_rate());
    let target = Target::open(&args.output, args.overwrite.choice(), &args.input)?;
    // A stream keeps the encoder's own interval, 50 frames, for those who join it late.
    if target.is_file() {
        let frame_rate = bundle.stream_header().frame_rate();
        config.header_interval = (HEADER_SECONDS * frame_rate) as u32;
    }
    let mut encoder = Encoder::new(&bundle, &runtime, &config)?;
    let is_published = manifest.conventions == Conventions::Published;
    if is_published && args.search_width != DEFAULT_SEARCH_WIDTH {
        let name = &manifest.name;
        report.note(&format!(
            "--search-width changes nothing: {name} takes the nearest codes, as its authors do"
        ));
    }
    let rate_words = match rate {
        audio::RateMode::Variable { bitrate } => {
            format!("{} on average", units::format_bitrate(bitrate.into()))
        }
        audio::RateMode::Constant => {
            format!(
                "{stages} stages, {} of codes",
                units::format_bitrate(encoder.stream_header().code_rate(stages))
            )
        }
    };
    report.note(&format!(
        "Encoding with {} {} on {}, {rate_words}, {}",
        manifest.name,
        manifest.version,
        encoder.provider(),
        if encoder.is_range_coding() { "range coded" } else { "fixed width" },
    ));
    let stream = (encoder.stream_header(), encoder.frames_per_packet());
    let beside = (input.chapters(), source.track_labels(Kind::Audio));
    let (tags, tags_left_out) = kept_tags(&source);
    describe_left_out(tags_left_out).iter().for_each(|note| report.note(note));
    let mut sink = Sink::with_chapters(&target, stream, tags, beside)?;
    let (mut samples, mut pcm, mut more) = (0u64, Vec::new(), true);
    while more {
        while more && pcm.len() < BATCH {
            more = input.next(&mut pcm)?;
        }
        samples += pcm.len() as u64 / u64::from(manifest.channels);
        encoder.push_samples(&pcm, &mut |p| sink.packet(p))?;
        pcm.clear();
        let seconds = samples as f64 / f64::from(manifest.sample_rate);
        report.progress(Progress { seconds, total: input.duration(), bytes: sink.bytes() })?;
    }
    // Before the last packets: without any sample it fails, and the target goes away with its temporary file.
    let missing = check_end(args, &input, samples, &report)?;
    encoder.finish_stream(&mut |p| sink.packet(p))?;
    let totals = sink.finish()?;
    target.commit()?;
    let seconds = samples as f64 / f64::from(manifest.sample_rate);
    let speed = seconds / report.elapsed().max(1e-6);
    let header = encoder.stream_header();
    let code_bits = totals.codes as f64 * f64::from(header.code_bits);
    let (coded, on_disk) =
        (units::rate_of(totals.packet_bytes, seconds), units::rate_of(totals.bytes, seconds));
    report.done(
        &format!(
            "{} in {} packets, {}, {} (container {:.1} %), {speed:.1}x real time",
            units::format_time(seconds),
            totals.packets,
            units::format_size(totals.bytes),
            units::format_bitrate(on_disk),
            100.0 * (totals.bytes - totals.packet_bytes) as f64 / totals.bytes.max(1) as f64,
        ),
        &events::Encode {
            input: args.input.to_string_lossy(),
            output: args.output.to_string_lossy(),
            model: &manifest.name,
            model_id: bundle.id().to_string(),
            provider: encoder.provider().name(),
            // With a variable rate they differ from frame to frame, and one number would mislead.
            stages: (rate == audio::RateMode::Constant).then_some(stages),
            rate_control: if rate == audio::RateMode::Constant { "constant" } else { "vbr" },
            sample_rate: manifest.sample_rate,
            samples,
            seconds,
            packets: totals.packets,
            bytes: totals.bytes,
            packet_bytes: totals.packet_bytes,
            entropy_coding: encoder.is_range_coding(),
            redundancy_bitrate: units::rate_of(totals.redundant_bytes, seconds),
            code_bitrate: code_bits * header.frame_rate() / totals.frames.max(1) as f64,
            packet_bitrate: coded,
            bitrate: on_disk,
            elapsed_seconds: report.elapsed(),
            peak_memory_bytes: peak_memory(),
            speed,
        },
    )?;
    // After the result: what is there is written and whole, and the exit code says that the input was not.
    match missing {
        Some(missing) => Err(anyhow!("{missing}; {} holds what is there", args.output.display())),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn encode_video(args: &EncodeArgs, source: Source, report: &mut Report) -> Result<ExitCode> {
    let with_sound = source.has(Kind::Audio) && !args.video.no_audio;
    let runtime = args.model.video_runtime()?;
    let [of_pictures, of_sound] = choose_models(args, with_sound)?;
    // To resume is to go on with what the file holds already, so there is nothing to ask about.
    let overwrite = if args.video.resume { Overwrite::Always } else { args.overwrite.choice() };
    let target = Target::open(&args.output, overwrite, &args.input)?;
    if args.video.resume && !target.is_file() {
        return Err(usage_error("--resume needs an output that is a file"));
    }
    // Both are known to the input before the first packet of either is read.
    source.keep_packets(&if with_sound { vec![Kind::Video, Kind::Audio] } else { vec![Kind::Video] });
    let sound = if with_sound { Some(open_sound(args, &source, of_sound, report)?) } else { None };
    // With sound, the plain option is that of the sound, as it is without video.
    let own = args.bitrate.filter(|_| !with_sound);
    let mut job = video::Job {
        input: &args.input,
        source,
        output: &args.output,
        video: &args.video,
        bitrate: args.video.video_bitrate.or(own),
        model: of_pictures,
        allow_truncated: args.allow_truncated,
        sound,
        runtime,
    };
    video::encode::run(&mut job, target, report)
}

/// The bundle that `--model` names, for the pictures or else for the sound, whichever it is of.
fn choose_models(args: &EncodeArgs, with_sound: bool) -> Result<[Option<&str>; 2]> {
    let Some(name) = args.model.model.as_deref() else { return Ok([None; 2]) };
    match (Bundle::find(name), VideoBundle::find(name)) {
        // Sound first: a name is of one kind, unless a folder of each has it.
        (Ok(_), _) if with_sound => Ok([None, Some(name)]),
        (Ok(_), _) => {
            Err(usage_error(format!("--model {name} is a bundle for sound, and none is encoded here")))
        }
        (_, Ok(_)) if args.video.is_realtime() => Ok([Some(name), None]),
        (_, Ok(_)) => Err(usage_error(format!(
            "--model {name} is for presets that code each frame, this one fits a network of its own"
        ))),
        // Neither: the kind that is more likely meant says why.
        (Err(e), Err(_)) if !args.video.is_realtime() => Err(e.into()),
        (_, Err(e)) => Err(e.into()),
    }
}

/// The bundle for sound: the one that is named, or one for what the sound is.
fn choose_bundle(args: &EncodeArgs, model: Option<&str>, report: &Report) -> Result<Bundle> {
    if let Some(name) = model {
        return Ok(Bundle::find(name)?);
    }
    // A number of stages has always been that of speech-24k, and there is no DTX of two channels.
    let needs_speech = args.stages.is_some() || args.dtx;
    let (bundle, words) = content::bundle_for(args.audio, &args.input, args.bitrate, needs_speech)?;
    if let Some(words) = words {
        report.note(&words);
    }
    Ok(bundle)
}

/// The sound beside a video.
fn open_sound(args: &EncodeArgs, source: &Source, model: Option<&str>, report: &Report) -> Result<Sound> {
    let bundle = choose_bundle(args, model, report)?;
    let manifest = bundle.manifest();
    let stages = choose_stages(args, manifest)?;
    check_packets(args, manifest)?;
    let input = AudioInput::of(source, manifest.sample_rate)?;
    source.describe_choice(Kind::Audio).iter().for_each(|words| report.note(words));
    describe_mix(&input, manifest, report);
    let header = bundle.stream_header();
    let rate = rate_control(args, bundle.manifest(), header.code_rate(stages));
    let mut config = encoder_config(args, stages, rate, header.frame_rate());
    config.header_interval = (HEADER_SECONDS * header.frame_rate()) as u32;
    Ok(Sound::new(input, Encoder::new(&bundle, &args.model.runtime()?, &config)?))
}

/// How the bit rate is arrived at; `usual` is that of the stages asked for.
fn rate_control(args: &EncodeArgs, manifest: &Manifest, usual: f64) -> audio::RateMode {
    // At one average rate the frames' own numbers of stages are worth 0.18 PESQ at 6 kb/s, and range coding leaves a
    // constant number 10 to 20 % below what was asked for. Who names the stages wants just those.
    // A published codec was trained for one number in all frames.
    let is_constant = args.stages.is_some() || manifest.conventions == Conventions::Published;
    let default = if is_constant { RateMode::Constant } else { RateMode::Vbr };
    match args.vbr || args.rate_control.unwrap_or(default) == RateMode::Vbr {
        // Without a rate the same bits as at the usual constant one are only spread differently.
        true => audio::RateMode::Variable { bitrate: args.bitrate.unwrap_or(usual as u32) },
        false => audio::RateMode::Constant,
    }
}

fn encoder_config(
    args: &EncodeArgs,
    stages: u8,
    rate_mode: audio::RateMode,
    frame_rate: f64,
) -> EncoderConfig {
    EncoderConfig {
        stages: Some(stages),
        frames_per_packet: args
            .frames_per_packet
            .unwrap_or_else(|| audio::file_frames_per_packet(frame_rate)),
        search_width: args.search_width,
        lambda: args.lambda,
        rate_mode,
        entropy_coding: !args.fixed_width,
        redundancy: args.redundancy,
        redundancy_stages: args.redundancy_stages,
        dtx: args.dtx,
        ..Default::default()
    }
}

/// Refuses a number of frames per packet where a packet is a segment.
fn check_packets(args: &EncodeArgs, manifest: &Manifest) -> Result<()> {
    match (args.frames_per_packet, manifest.segments) {
        (Some(_), Some(_)) => {
            let name = &manifest.name;
            Err(usage_error(format!("--frames-per-packet: a packet of {name} is always a segment")))
        }
        _ => Ok(()),
    }
}

/// Coded files are Matroska, and a name that promises something else would mislead every player.
fn check_name(output: &Path) -> Result<()> {
    let extension = output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    // /dev/null and named pipes have no extension to go by.
    let is_special = std::fs::metadata(output).is_ok_and(|m| !m.is_file() && !m.is_dir());
    if is_dash(output) || is_special || extension == "mka" || extension == "mkv" {
        return Ok(());
    }
    Err(usage_error(format!("{}: coded files are Matroska, name it .mka or .mkv", output.display())))
}

fn choose_stages(args: &EncodeArgs, manifest: &Manifest) -> Result<u8> {
    let all = manifest.quantizer.stages;
    if let Some(asked) = args.stages {
        if !(1..=all).contains(&asked) {
            return Err(usage_error(format!("--stages is {asked}, {} has: 1 to {all}", manifest.name)));
        }
        return Ok(asked);
    }
    let is_for_general = manifest.name == SPEECH && args.bitrate.is_some_and(|b| b > HIGHEST_SPEECH);
    stages_at(manifest, args.bitrate).map_err(|e| match is_for_general {
        true => usage_error(format!("{e}; --audio general has more")),
        false => e,
    })
}

/// Tells of channels that do not stay as they are.
fn describe_mix(input: &AudioInput, manifest: &Manifest, report: &Report) {
    let (from, to) = (input.channels(), units::format_channels(manifest.channels));
    // Who encodes a song as a first try gets it as speech: this line is where it can be seen.
    let other = if manifest.name == SPEECH { "; --audio general keeps two" } else { "" };
    match from.cmp(&manifest.channels.into()) {
        std::cmp::Ordering::Greater => report.note(&format!("Mixing {from} channels down to {to}{other}")),
        std::cmp::Ordering::Less => report.note(&format!("The input is mono, the model codes {to}")),
        std::cmp::Ordering::Equal => {}
    }
}

fn describe_input(input: &AudioInput, manifest: &Manifest, report: &Report) {
    let (from, to) = (input.source_rate(), input.rate());
    if from != to {
        report.note(&format!("Resampling from {from} Hz to {to} Hz"));
    }
    describe_mix(input, manifest, report);
    let others = input.other_streams();
    if !others.is_empty() {
        report.note(&format!("Leaving out other streams: {}", others.join(", ")));
    }
}

/// Tells what did not go as it should; gives what is missing at the end, if that is not allowed.
fn check_end(args: &EncodeArgs, input: &AudioInput, samples: u64, report: &Report) -> Result<Option<String>> {
    if samples == 0 {
        bail!("{}", input.describe_nothing());
    }
    // A fault in the middle is a warning, as every player goes on there; an end too early may be half a recording.
    for fault in input.faults() {
        report.warn(&fault)?;
    }
    match input.missing() {
        Some(missing) if args.allow_truncated => report.warn(&missing).map(|()| None),
        missing => Ok(missing),
    }
}
