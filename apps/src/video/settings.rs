//! The options of video encoding.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use siskin_core::video::realtime::{Config, EFFORTS, MAX_LOOKAHEAD, MAX_REFINEMENTS, Target};
use siskin_core::video::{EncoderConfig, Kind, Modulation, Preset, lambda_of_quality};

use crate::failure::usage_error;
use crate::units;

/// Frames of a GOP unless the user says otherwise.
// About the 132 frames that the papers' networks share; in real time four seconds at 30 frames per second.
const GOP_SIZE: u32 = 120;
/// Frames that wait for each other unless the user says otherwise.
// Against 0 they save 20 % of the rate of films; 4 save 16 %, 16 as much as 8.
const LOOKAHEAD: u32 = 8;
/// Points of the grids of coordinate-aware modulation.
// A point for four frames of a GOP of the default length; more points cost parameters in every block.
const GRID_POINTS: u8 = 30;

/// How video is encoded.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Video")]
pub(crate) struct VideoArgs {
    /// Encode the video: fast, medium and slow are efforts of the codec; realtime is medium without lookahead, a packet per
    /// frame at once; nerv-fast, nerv, nerv-slow and nerv-placebo fit a network to each GOP in 40, 130, 400 and 1600 epochs, which
    /// is research and takes minutes to hours [default: medium, where the output is .mkv and the input has video]
    #[arg(long, value_name = "NAME", value_parser = ["realtime", "fast", "medium", "slow", "nerv-fast", "nerv", "nerv-slow", "nerv-placebo"])]
    pub(crate) preset: Option<String>,
    /// Epochs of a fit (passes over the frames of a GOP), 2 or more [default: the preset's]
    #[arg(long, value_name = "N", requires = "preset", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    epochs: Option<u32>,
    /// Work on each frame: 0 quickest, 1 usual, 2 thorough; with a model up to 16 for analysis by synthesis [default: the preset's]
    #[arg(long, value_name = "N")]
    refine: Option<u32>,
    /// Frames that wait for each other, 0 to 16: all but the last are predicted from both sides, and share a packet with it
    /// [default: 8; 0 with --preset realtime and with a model]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_LOOKAHEAD)))]
    lookahead: Option<u32>,
    /// Old name of --epochs and, in real time, of --refine
    #[arg(long, hide = true, conflicts_with_all = ["epochs", "refine"], value_parser = clap::value_parser!(u32).range(0..=100_000))]
    steps: Option<u32>,
    /// Constant quality, 0 to 100, with no limit on the rate [default: 50]
    #[arg(long, value_name = "Q", conflicts_with_all = ["video_bitrate", "size"])]
    quality: Option<f64>,
    /// Bit rate of the video; without audio, --bitrate means the same
    #[arg(long, value_name = "RATE", conflicts_with = "size", value_parser = units::parse_bitrate)]
    pub(crate) video_bitrate: Option<u32>,
    /// Continue an interrupted encoding: repeat the command with this option. Without a file it starts from the beginning
    #[arg(long)]
    pub(crate) resume: bool,
    /// Write a preview image every few seconds: the original, the decoded frame and four times their difference
    #[arg(long, value_name = "FILE.png")]
    pub(crate) watch: Option<PathBuf>,
    /// Leave out the video
    #[arg(long, visible_alias = "vn", conflicts_with = "preset")]
    pub(crate) no_video: bool,
    /// Leave out the audio
    #[arg(long, visible_alias = "an")]
    pub(crate) no_audio: bool,
    /// Maximum size of the file in bytes, such as 200k
    #[arg(long, value_name = "BYTES", requires = "preset", value_parser = units::parse_bitrate)]
    size: Option<u32>,
    /// Maximum frames from one keyframe to the next in real time, 1 to 4096 [default: 120]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    keyframe_interval: Option<u32>,
    /// Frames per fitted GOP, which share a network, 1 to 4096
    #[arg(long, value_name = "N", default_value_t = GOP_SIZE, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) gop_size: u32,
    /// GOPs from one key GOP to the next; those between are coded as differences to the previous GOP
    #[arg(long, value_name = "N", requires = "preset", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    key_interval: u32,
    /// Parameters of a GOP's network [default: from the target rate or size]
    #[arg(long, value_name = "N", requires = "preset", value_parser = clap::value_parser!(u32).range(1000..=30_000_000))]
    parameters: Option<u32>,
    /// Network family: hnerv (an embedding per frame), nerv (time alone), enerv (time and position separately)
    #[arg(long, value_name = "NAME", requires = "preset", default_value = "hnerv", value_parser = ["hnerv", "nerv", "enerv"])]
    network: String,
    /// Modulation of features by the time: affine (Boosting-NeRV) or grid (coordinate-aware modulation)
    #[arg(long, value_name = "NAME", requires = "preset", default_value = "affine", value_parser = ["affine", "grid"])]
    modulation: String,
}

impl Wish {
    /// In the words of [`super::resume::Settings`].
    fn words(self, frames: Option<u64>) -> String {
        match self {
            Self::Quality { quality, .. } => format!("quality={quality}"),
            Self::Bitrate(rate) => format!("bitrate={rate}"),
            // Each group gets its share.
            Self::Size(bytes) => format!("size={bytes} frames={}", frames.unwrap_or(0)),
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wish {
    /// This quality, 0 to 100, and the weight of a bit a pixel that it stands for.
    Quality { quality: f64, lambda: f64 },
    /// Bits a second.
    Bitrate(f64),
    /// Bytes in all.
    Size(u64),
}

impl VideoArgs {
    /// What to hold constant.
    pub(super) fn wish(&self, bitrate: Option<u32>) -> Result<Wish> {
        let quality = self.quality.unwrap_or(50.0);
        let lambda = lambda_of_quality(quality).map_err(|e| usage_error(format!("--{e}")))?;
        Ok(match (bitrate, self.size) {
            // The narrowest wish wins, and clap has refused the combinations that make no sense.
            (_, Some(size)) => Wish::Size(size.into()),
            // With --quality the rate is that of the sound.
            (Some(rate), _) if self.quality.is_none() => Wish::Bitrate(rate.into()),
            _ => Wish::Quality { quality, lambda },
        })
    }

    /// How the frames of a group are fitted, in the words of [`super::resume::Settings`]; `frames` are those of the input.
    pub(super) fn words(&self, config: &EncoderConfig, wish: Wish, frames: Option<u64>) -> String {
        let [plain, coding] = config.epochs;
        let parameters = self.parameters.map_or("any".into(), |p| p.to_string());
        format!(
            "mode=fit passes={plain}+{coding} {} gop-size={} key-interval={} parameters={parameters} network={} \
             modulation={}",
            wish.words(frames),
            self.gop_size,
            self.key_interval,
            self.network,
            self.modulation,
        )
    }

    /// The same of the real-time mode; `model` is the id of the bundle, if a network codes.
    pub(super) fn realtime_words(&self, model: Option<&str>, wish: Wish, config: &Config) -> String {
        let Config { keyframe_interval, refinements, lookahead, .. } = config;
        let Some(model) = model else {
            let wish = wish.words(None);
            let mut words =
                format!("mode=blocks {wish} keyframe-interval={keyframe_interval} refine={refinements}");
            // Without it the words are those of 0.3, whose files can be resumed.
            if *lookahead > 1 {
                words += &format!(" lookahead={lookahead}");
            }
            return words;
        };
        // The names that files of 0.2 hold, so that their encodings can be resumed.
        format!(
            "mode=realtime model={model} {} gop-size={keyframe_interval} steps={refinements}",
            wish.words(None)
        )
    }

    /// Whether frames are coded one by one.
    pub(crate) fn is_realtime(&self) -> bool {
        self.preset.as_deref().is_none_or(|p| p.parse::<Preset>().is_err())
    }

    /// Refuses options of fits, and warns of the old name of `--keyframe-interval`.
    pub(super) fn check_realtime(&self) -> Result<()> {
        let given = [
            (self.epochs.is_some(), "--epochs"),
            (self.parameters.is_some(), "--parameters"),
            (self.key_interval != 1, "--key-interval"),
            (self.network != "hnerv", "--network"),
            (self.modulation != "affine", "--modulation"),
        ];
        // Under the name that was typed, so that the message can be understood.
        let refine = self.refine.map(|n| ("--refine", n)).or(self.steps.map(|n| ("--steps", n)));
        if let Some((name, n)) = refine.filter(|(_, n)| *n > MAX_REFINEMENTS) {
            return Err(usage_error(format!("{name} is {n}, in real time: 0 to {MAX_REFINEMENTS}")));
        }
        if self.keyframe_interval.is_none() && self.gop_size != GOP_SIZE {
            let text = "--gop-size is in real time the old name of --keyframe-interval";
            eprintln!("siskin: warning: {text} and will be removed in the next release");
        }
        match given.into_iter().find(|g| g.0) {
            Some((_, name)) => {
                let preset = self.preset.as_deref().unwrap_or("medium");
                Err(usage_error(format!(
                    "{name} is not for --preset {preset}, which fits no network as nerv-fast to nerv-placebo do"
                )))
            }
            None => Ok(()),
        }
    }

    /// How the real-time mode is to encode; `has_model` if with a network.
    ///
    /// # Errors
    /// A usage error for lookahead with a network.
    pub(super) fn realtime_config(&self, target: Target, threads: usize, has_model: bool) -> Result<Config> {
        if has_model && self.lookahead.is_some_and(|n| n > 1) {
            return Err(usage_error(
                "--lookahead is not for models, which code each frame at once".to_owned(),
            ));
        }
        let is_live = has_model || self.preset.as_deref() == Some("realtime");
        let lookahead = self.lookahead.unwrap_or(if is_live { 0 } else { LOOKAHEAD });
        let of_preset = EFFORTS.iter().find(|e| Some(e.0) == self.preset.as_deref()).map(|e| e.1);
        let refinements = self.refine.or(self.steps).or(of_preset).unwrap_or(Config::default().refinements);
        let keyframe_interval = self.keyframe_interval.unwrap_or(self.gop_size);
        Ok(Config { target, keyframe_interval, refinements, threads, lookahead, ..Default::default() })
    }

    /// The encoder's configuration.
    pub(super) fn config(&self) -> Result<EncoderConfig> {
        let preset: Preset = self.preset.as_deref().map_or(Ok(Preset::default()), str::parse)?;
        let mut config = EncoderConfig {
            kind: match self.network.as_str() {
                "nerv" => Kind::Index,
                "enerv" => Kind::Disentangled(128),
                _ => Kind::Content(16),
            },
            modulation: match self.modulation.as_str() {
                "grid" => Modulation::Grid(GRID_POINTS),
                _ => Modulation::Affine,
            },
            parameters: self.parameters.map(|p| p as usize),
            keyframe_interval: self.key_interval,
            ..preset.config()
        };
        let given = [
            (self.refine.is_some(), "--refine"),
            (self.keyframe_interval.is_some(), "--keyframe-interval"),
            (self.lookahead.is_some(), "--lookahead"),
        ];
        if let Some((_, name)) = given.into_iter().find(|g| g.0) {
            return Err(usage_error(format!(
                "{name} is for presets that code each frame, this one fits a network"
            )));
        }
        self.epochs.or(self.steps).map_or(Ok(()), |epochs| config.set_passes(epochs))?;
        Ok(config)
    }
}
