//! `siskin speak`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use siskin_core::bundle::{EngineSpec, VoiceBundle, VoiceChoice};
use siskin_core::tts::{Sentences, Speaker, Spoken};

use crate::bench::peak_memory;
use crate::events;
use crate::failure::usage_error;
use crate::interrupt::{self, Interrupted};
use crate::media;
use crate::model::ModelArgs;
use crate::report::{Progress, Report, ReportArgs};
use crate::speech::{SpeechOutput, TextSource, WordFile, WordFormat};
use crate::target::{Overwrite, OverwriteArgs, Target, is_dash};
use crate::units;

/// Arguments of `speak`.
#[derive(Debug, Args)]
pub(crate) struct SpeakArgs {
    /// Text to speak; without it the text comes from --file or stdin
    #[arg(conflicts_with = "file")]
    text: Option<String>,
    /// File with the text, - for stdin
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Coded file (.mka), or .wav, .flac or another audio format of FFmpeg; - for WAV on stdout
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Voice of the bundle [default: the bundle's own]
    #[arg(short, long, value_name = "NAME", help_heading = "Voice")]
    voice: Option<String>,
    /// Speak with the first voice of this language, such as de or en-gb
    #[arg(short, long, value_name = "CODE", conflicts_with = "voice", help_heading = "Voice")]
    language: Option<String>,
    /// Synthesis engine [default: kokoro, or one that has the voice or language asked for]
    #[arg(short, long, value_name = "NAME", value_parser = EngineSpec::NAMES, help_heading = "Voice")]
    engine: Option<String>,
    /// Bundle of voices by name or path
    #[arg(long, value_name = "NAME|PATH", conflicts_with = "engine", help_heading = "Voice")]
    voices: Option<String>,
    /// Speaking rate relative to the voice's own, 0.5 to 2
    #[arg(short, long, value_name = "X", default_value_t = 1.0, help_heading = "Voice")]
    speed: f32,
    /// Also write subtitles, one entry per word, to .srt, .vtt or .jsonl
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    words: Option<PathBuf>,
    /// Bit rate of the codes of a coded file, such as 6k
    #[arg(short, long, value_name = "RATE", value_parser = units::parse_bitrate, help_heading = "Output")]
    bitrate: Option<u32>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// What a run has come to.
#[derive(Default)]
struct Totals {
    samples: u64,
    sentences: u64,
    silent: u64,
    words: u64,
    /// When the first sample was there, from the first sentence on.
    first_audio: Option<f64>,
}

pub(crate) fn run_speak(args: &SpeakArgs) -> Result<ExitCode> {
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    media::init_ffmpeg()?;
    if let Some(words) = &args.words {
        // All that can be wrong with the command line is found before a network is opened.
        WordFormat::of(words)?;
    }
    if !(0.5..=2.0).contains(&args.speed) {
        return Err(usage_error(format!("--speed is {}, allowed: 0.5 to 2", args.speed)));
    }
    let mut text = TextSource::open(args.text.as_deref(), args.file.as_deref())?;
    let bundle = choose_bundle(args)?;
    let manifest = bundle.manifest();
    let voice = match &args.language {
        Some(language) => manifest.voice_of_language(language)?,
        None => manifest.voice(args.voice.as_deref())?,
    };
    let rate = manifest.sample_rate;
    let mut speaker = Speaker::new(&bundle, &args.model.runtime()?)?;
    report.note(&format!("Speaking with {} of {}", manifest.voices[voice].name, manifest.name));
    // Left out of the speed below: loading takes the same time for a word and a book.
    let loaded = report.elapsed();
    // A sentence at a time: sound comes at once however long the text is, and memory stays that of one.
    let mut sentences = Sentences::new();
    let mut next = first_sentences(&mut text, &mut sentences)?;
    // Nothing is written before there is something to say.
    if next.is_empty() {
        return Err(usage_error(format!("{} holds nothing to speak", text.name().display())));
    }
    let target = Target::open(&args.output, args.overwrite.choice(), text.name())?;
    // Synthetic speech should say so wherever the file goes.
    let tags = vec![("ARTIST".into(), format!("{} ({})", manifest.voices[voice].name, manifest.name))];
    let mut output = SpeechOutput::create(&args.output, &target, rate, &args.model, args.bitrate, tags)?;
    let replace = args.overwrite.choice() == Overwrite::Always;
    let mut words = args.words.as_deref().map(|p| WordFile::create(p, replace)).transpose()?;
    let mut totals = Totals::default();
    let begun = Instant::now();
    let mut more = true;
    let mut interrupted = false;
    'text: while !next.is_empty() || more {
        for sentence in next.drain(..) {
            let start = totals.samples;
            let spoken = speak_sentence(
                &mut speaker,
                &sentence,
                voice,
                args.speed,
                &begun,
                &mut totals,
                &mut |pcm, at| {
                    output.write(pcm)?;
                    let seconds = at as f64 / f64::from(rate);
                    report.progress(Progress { seconds, total: None, bytes: output.bytes() })
                },
            );
            let spoken = match spoken {
                // Before the first sentence there is nothing to keep.
                Err(e) if e.is::<Interrupted>() && totals.sentences > 0 => {
                    interrupted = true;
                    break 'text;
                }
                other => other?,
            };
            // A book takes hours: from here on an interrupt keeps what has been spoken.
            interrupt::keep_output();
            let seconds = |samples: u64| (start + samples) as f64 / f64::from(rate);
            for word in &spoken.words {
                let (from, to) = (seconds(word.start), seconds(word.end));
                output.word(&word.text, from, to)?;
                words.as_mut().map_or(Ok(()), |file| file.word(&word.text, from, to))?;
            }
            // Per sentence, so that words and sound of a run that dies belong together.
            words.as_mut().map_or(Ok(()), WordFile::flush)?;
        }
        if more {
            let mut keep = |s: &str| -> Result<()> {
                next.push(s.to_owned());
                Ok(())
            };
            let bytes = text.next()?;
            more = !bytes.is_empty();
            if more { sentences.push_bytes(bytes, &mut keep)? } else { sentences.finish_text(&mut keep)? }
        }
    }
    if totals.samples == 0 {
        bail!("the voice has no sound for anything in {}", text.name().display());
    }
    let seconds = totals.samples as f64 / f64::from(rate);
    let described = output.finish(seconds)?;
    target.commit()?;
    warn_of_losses(&sentences, &totals, &report)?;
    if interrupted {
        report.warn(&format!("interrupted: {} holds what was spoken so far", args.output.display()))?;
    }
    let speed = seconds / (report.elapsed() - loaded).max(1e-6);
    report.done(
        &format!(
            "{} of {} sentences{described}, first sound after {:.0} ms, {speed:.2}x real time",
            units::format_time(seconds),
            totals.sentences,
            totals.first_audio.unwrap_or_default() * 1000.0,
        ),
        &events::Speak {
            output: args.output.to_string_lossy(),
            voices: &manifest.name,
            voice: &manifest.voices[voice].name,
            language: &manifest.voices[voice].language,
            engine: manifest.engine.name(),
            sample_rate: rate,
            samples: totals.samples,
            seconds,
            sentences: totals.sentences,
            sentences_without_sound: totals.silent + sentences.skipped_sentences(),
            skipped_bytes: sentences.skipped_bytes(),
            words: totals.words,
            load_seconds: loaded,
            first_audio_seconds: totals.first_audio,
            elapsed_seconds: report.elapsed(),
            peak_memory_bytes: peak_memory(),
            speed,
        },
    )?;
    Ok(if interrupted { ExitCode::from(interrupt::exit_code()) } else { ExitCode::SUCCESS })
}

/// The bundle asked for; else Kokoro's, or the first that has the voice or language asked for if Kokoro has not.
fn choose_bundle(args: &SpeakArgs) -> Result<VoiceBundle> {
    if let Some(name) = &args.voices {
        return Ok(VoiceBundle::find(name)?);
    }
    let (engine, voice, language) = (args.engine.as_deref(), args.voice.as_deref(), args.language.as_deref());
    Ok(VoiceChoice { engine, voice, language }.open_bundle()?)
}

/// Reads until there is a sentence or the text ends.
fn first_sentences(text: &mut TextSource, sentences: &mut Sentences) -> Result<Vec<String>> {
    let mut found = Vec::new();
    while found.is_empty() {
        let mut keep = |s: &str| -> Result<()> {
            found.push(s.to_owned());
            Ok(())
        };
        let bytes = text.next()?;
        if bytes.is_empty() {
            sentences.finish_text(&mut keep)?;
            break;
        }
        sentences.push_bytes(bytes, &mut keep)?;
    }
    Ok(found)
}

/// Speaks a sentence; `write` gets its samples and how many there are in all.
fn speak_sentence(
    speaker: &mut Speaker,
    sentence: &str,
    voice: usize,
    speed: f32,
    begun: &Instant,
    totals: &mut Totals,
    write: &mut impl FnMut(&[f32], u64) -> Result<()>,
) -> Result<Spoken> {
    let mut failed = None;
    let spoken = speaker.speak_sentence(sentence, voice, speed, &mut |pcm| {
        // Taken in the callback: engines give the first samples before the sentence is done.
        totals.first_audio.get_or_insert_with(|| begun.elapsed().as_secs_f64());
        totals.samples += pcm.len() as u64;
        // Kept aside, since the engine's callback can only say that it wants no more.
        failed = write(pcm, totals.samples).err();
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    totals.sentences += u64::from(spoken.samples > 0);
    totals.silent += u64::from(spoken.samples == 0);
    totals.words += spoken.words.len() as u64;
    Ok(spoken)
}

fn warn_of_losses(sentences: &Sentences, totals: &Totals, report: &Report) -> Result<()> {
    let silent = totals.silent + sentences.skipped_sentences();
    if silent > 0 {
        report.warn(&format!("{silent} sentences left out, the voice has no sound for them"))?;
    }
    if sentences.skipped_bytes() > 0 {
        let bytes = sentences.skipped_bytes();
        report.warn(&format!("{bytes} bytes of control characters or not of UTF-8 left out"))?;
    }
    Ok(())
}
