//! Frames coded by the block codec, each at once or several together, or by one network for all streams.

use std::time::Instant;

use anyhow::Result;
use siskin_core::bundle::VideoBundle;
use siskin_core::media::{PixelFormat, VideoFrame, YuvMatrix};
use siskin_core::runtime::Provider;
use siskin_core::video::realtime::{Encoder, QUALITIES, Target as Aim};
use siskin_core::video::{Coding, GopInfo, frame_psnr};

use super::input::VideoInput;
use super::job::Job;
use super::preview::Watch;
use super::resume::Earlier;
use super::session::{Coded, Group, Mode, Progress, Sums};
use super::settings::Wish;
use crate::events;
use crate::failure::usage_error;
use crate::units;

/// A stream that takes this many times the bit rate is told of, once it has lasted so many seconds: rate control works in a second.
const MAX_RATE_EXCESS: f64 = 1.1;
const MIN_RATE_SECONDS: f64 = 2.0;

/// The real-time mode.
pub(super) struct Realtime {
    encoder: Encoder,
    words: String,
    introduction: Option<String>,
    /// Name and id of the bundle, if there is one.
    model: Option<(String, String)>,
    steps: u32,
    /// Frames that a packet may hold.
    lookahead: u32,
    /// The bit rate that was asked for, and the bytes of packets.
    rate: Option<f64>,
    bytes: u64,
    /// Whether a whole group is under the final name.
    is_revealed: bool,
    /// Seconds in the encoder alone.
    seconds: f64,
    /// The frame as a decoder sees it and the source, in RGB.
    scratch: [VideoFrame; 2],
}

impl Realtime {
    pub(super) fn new(job: &Job<'_>, input: &VideoInput) -> Result<Self> {
        job.video.check_realtime()?;
        let bundle = job.model.map(VideoBundle::find).transpose()?;
        let manifest = bundle.as_ref().map(VideoBundle::manifest);
        let qualities = manifest.map_or(QUALITIES.into(), |m| m.qualities);
        let wish = job.video.wish(job.bitrate)?;
        let aim = match wish {
            Wish::Bitrate(rate) => Aim::Bitrate(rate as u32),
            Wish::Quality { quality, .. } => {
                let steps = f64::from(qualities - 1);
                // 100 is the finest quality, which the codec counts from 0.
                Aim::Quality(((100.0 - quality) / 100.0 * steps).round() as u8)
            }
            Wish::Size(_) => {
                return Err(usage_error(
                    "--size is for the presets that fit a network, this one takes --bitrate or --quality",
                ));
            }
        };
        let header = *input.header();
        let config = job.video.realtime_config(aim, job.runtime.threads(), bundle.is_some())?;
        let encoder = match &bundle {
            Some(bundle) => Encoder::with_network(header, &job.runtime, bundle, &config)?,
            None => Encoder::new(header, &config)?,
        };
        let with = match (manifest, encoder.provider()) {
            (Some(m), Some(provider)) => format!(" with {} {} on {provider}", m.name, m.version),
            _ => String::new(),
        };
        let introduction = format!("Encoding {}x{}{with}", header.width, header.height);
        let id = manifest.map(|m| m.id().to_string());
        Ok(Self {
            encoder,
            words: job.video.realtime_words(id.as_deref(), wish, &config),
            introduction: Some(introduction),
            model: manifest.map(|m| m.name.clone()).zip(id),
            steps: config.refinements,
            lookahead: config.lookahead,
            rate: if let Wish::Bitrate(rate) = wish { Some(rate) } else { None },
            bytes: 0,
            is_revealed: false,
            seconds: 0.0,
            scratch: Default::default(),
        })
    }

    /// PSNR of the frames as a decoder sees them, over RGB, all together.
    fn decoded_psnr(&mut self, frames: &[VideoFrame]) -> Result<f64> {
        let matrix = YuvMatrix::from_colorimetry(&self.encoder.header().colorimetry);
        let [seen, wanted] = &mut self.scratch;
        let mut sum = 0.0;
        for (decoded, frame) in self.encoder.reconstructed_frames()?.iter().zip(frames) {
            // Over RGB and not 4:2:0, so that the number means the same as with the other presets.
            decoded.convert_to(PixelFormat::Rgb, &matrix, seen);
            frame.view().convert_to(PixelFormat::Rgb, &matrix, wanted);
            sum += frame_psnr(&seen.view(), &wanted.view());
        }
        Ok(sum)
    }
}

impl Mode for Realtime {
    const IS_SLOW: bool = false;

    fn words(&self) -> String {
        self.words.clone()
    }

    fn introduction(&mut self, _: &Group) -> Option<String> {
        self.introduction.take()
    }

    fn group_size(&self) -> usize {
        self.lookahead.max(1) as usize
    }

    fn plan(&mut self, group: &Group) -> Result<usize> {
        let begun = Instant::now();
        let planned = self.encoder.plan(&group.views())?;
        self.seconds += begun.elapsed().as_secs_f64();
        Ok(planned)
    }

    fn usable(&self, earlier: Earlier, job: &Job<'_>) -> Result<Earlier> {
        // The encoder has no reference frame after a break, so it goes on at a keyframe as if none had been.
        earlier.up_to_last_key(job.output)
    }

    fn resume(&mut self, info: &GopInfo, data: &[u8], _: &Group) -> Result<Coded> {
        self.encoder.resume(data)?;
        self.bytes += data.len() as u64;
        // It was measured when it was coded.
        Ok(Coded { is_keyframe: info.is_keyframe, data: data.to_vec(), psnr: f64::NAN })
    }

    fn encode(&mut self, group: &Group, _: &mut Progress<'_>) -> Result<Option<Coded>> {
        let begun = Instant::now();
        let coded = self.encoder.encode_group(&group.views(), group.durations())?;
        let (is_keyframe, data) = (coded.is_keyframe, coded.data.to_vec());
        self.bytes += data.len() as u64;
        // Without reading and measuring, which are not the encoder's.
        self.seconds += begun.elapsed().as_secs_f64();
        Ok(Some(Coded { is_keyframe, data, psnr: self.decoded_psnr(&group.frames)? }))
    }

    fn concern(&self, sums: &Sums) -> Option<String> {
        let (seconds, wanted) = (sums.nanoseconds as f64 / 1e9, self.rate?);
        let found = units::rate_of(self.bytes, seconds);
        (seconds >= MIN_RATE_SECONDS && found > MAX_RATE_EXCESS * wanted).then(|| {
            let [found, wanted] = [found, wanted].map(units::format_bitrate);
            format!(
                "the video takes {found}, more than the {wanted} asked for: these frames do not fit into less"
            )
        })
    }

    fn is_worth_keeping(&mut self, coded: &Coded, sums: &Sums) -> bool {
        let is_first = coded.is_keyframe && sums.frames > sums.resumed && !self.is_revealed;
        // Once: from here on the file has its name, and what is whole in it can be played.
        self.is_revealed |= is_first;
        is_first
    }

    fn show(&mut self, _: &Group, watch: &mut Watch) -> Result<()> {
        if !watch.is_due() {
            return Ok(());
        }
        let [seen, wanted] = &self.scratch;
        watch.show(wanted.data(), seen.data())
    }

    fn tell(&self, progress: &mut Progress<'_>) -> Result<()> {
        let Progress { report, sums, header, total } = progress;
        let own = (sums.frames - sums.resumed) as f64;
        let (fps, decibels) = (own / report.elapsed().max(1e-3), sums.decibels());
        let bpp = sums.bits_per_pixel(header);
        let eta = total.map(|all| all.saturating_sub(sums.frames) as f64 / fps);
        let text = || {
            let mut text = format!("frame {}  {fps:.1} fps  {decibels:.2} dB  {bpp:.4} bpp", sums.frames);
            eta.iter().for_each(|e| text += &format!("  ETA {}", units::format_time(*e)));
            text
        };
        report.show(text, || events::VideoEncodeProgress {
            frames_done: sums.frames,
            frames_total: *total,
            fit: None,
            fps,
            psnr: Some(decibels),
            bits_per_pixel: Some(bpp),
            eta_seconds: eta,
        })
    }

    fn summary(&self, sums: &Sums) -> (String, Option<events::Realtime<'_>>) {
        let fps = sums.measured as f64 / self.seconds.max(1e-6);
        let own = events::Realtime {
            coding: match self.encoder.coding() {
                Coding::Blocks => "blocks",
                _ => "realtime",
            },
            model: self.model.as_ref().map(|m| m.0.as_str()),
            model_id: self.model.as_ref().map(|m| m.1.clone()),
            provider: self.encoder.provider().map(Provider::name),
            steps: self.steps,
            key_groups: sums.keys,
            fps,
        };
        (format!(", {} of them key at {fps:.1} fps", sums.keys), Some(own))
    }
}
