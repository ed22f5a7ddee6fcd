//! What lies behind the exported functions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use siskin_core::audio::file::{AudioFile, FileDecoder};
use siskin_core::bundle::Bundle;
use siskin_core::container::{AUDIO_CODEC_ID, Block, Reader, VIDEO_CODEC_ID};
use siskin_core::entropy::Coder;
use siskin_core::runtime::Runtime;
use siskin_core::tokens::codes_from_packet;
use siskin_core::{Error, Limits};

use crate::recorder::Recorder;
use crate::store::{Store, StoreReader, open_reader};
use crate::video::{Step, VideoReader, find_track};

/// What a call came to, where it did not work at once.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file has not arrived so far.
    NeedsData,
    /// In words.
    Broken(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.is_would_block() { Self::NeedsData } else { Self::Broken(error.with_sources()) }
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Broken(reason)
    }
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// What a file says of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    #[serde(flatten)]
    sound: Option<SoundDescription<'a>>,
    video: Option<VideoDescription>,
    /// The length that the container states, in seconds.
    seconds: Option<f64>,
    /// Codec ids of tracks that are not played: neither ours nor text.
    others: Vec<&'a str>,
    tags: BTreeMap<&'a str, &'a str>,
    chapters: Vec<ChapterMark<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SoundDescription<'a> {
    bundle: String,
    bundle_name: &'a str,
    sample_rate: u32,
    channels: u8,
    frame_samples: u16,
    stages: u8,
    codes_per_stage: u8,
    /// Samples, where the file states its length.
    samples: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VideoDescription {
    width: u32,
    height: u32,
    /// Frames per second as a fraction; 0 where they last for different times.
    frame_rate: (u32, u32),
    /// Width to height of a pixel, as a fraction.
    pixel_aspect: (u32, u32),
}

#[derive(Debug, Serialize)]
struct ChapterMark<'a> {
    seconds: f64,
    title: &'a str,
}

/// What decoding found missing since the last seek.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Damage<'a> {
    #[serde(flatten)]
    counts: Counts,
    ends_early: bool,
    damage: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Counts {
    Sound { bad_packets: u64, concealed_samples: u64 },
    Video { bad_frames: u64 },
}

/// A file's codes, packet by packet.
struct CodeReader {
    file: AudioFile<StoreReader>,
    coder: Option<Coder>,
    block: Block,
}

/// Everything that the module holds.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) input: Vec<u8>,
    pub(crate) text: String,
    pub(crate) samples: Vec<f32>,
    pub(crate) codes: Vec<u16>,
    /// A recording's file.
    pub(crate) bytes: Vec<u8>,
    bundle_files: BTreeMap<String, Vec<u8>>,
    model: Option<(Bundle, Runtime)>,
    files: Handles<Rc<RefCell<Store>>>,
    decoders: Handles<FileDecoder<StoreReader>>,
    code_readers: Handles<CodeReader>,
    videos: Handles<VideoReader>,
    recorders: Handles<Recorder>,
}

/// Things by number, from 1.
struct Handles<T> {
    items: BTreeMap<u32, T>,
    last: u32,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), last: 0 }
    }
}

impl<T> Handles<T> {
    fn insert(&mut self, item: T) -> u32 {
        // Never given out twice: a number that is used after its thing was freed finds nothing.
        self.last += 1;
        self.items.insert(self.last, item);
        self.last
    }

    fn get(&mut self, number: u32) -> Result<&mut T> {
        self.items.get_mut(&number).ok_or_else(|| Failure::Broken(format!("nothing has the number {number}")))
    }
}

impl State {
    /// Keeps a file of the bundle: the input's first `name_length` bytes are its name, the rest are its bytes.
    pub(crate) fn add_bundle_file(&mut self, name_length: usize) -> Result<()> {
        let mut name = std::mem::take(&mut self.input);
        if name_length > name.len() {
            return Err(Failure::Broken("a name longer than the input".into()));
        }
        let data = name.split_off(name_length);
        let name = String::from_utf8(name).map_err(|e| e.to_string())?;
        self.bundle_files.insert(name, data);
        Ok(())
    }

    /// Opens the bundle of the files so far; the input is its manifest.
    pub(crate) fn open_bundle(&mut self) -> Result<()> {
        let bundle = Bundle::from_memory(&self.input, std::mem::take(&mut self.bundle_files))?;
        self.model = Some((bundle, Runtime::with_rten(&Default::default())?));
        Ok(())
    }

    pub(crate) fn new_file(&mut self) -> u32 {
        self.files.insert(Rc::default())
    }

    /// The input lies at `offset` of a file.
    pub(crate) fn write_file(&mut self, file: u32, offset: u64) -> Result<()> {
        Ok(self.files.get(file)?.borrow_mut().write(offset, &self.input)?)
    }

    pub(crate) fn finish_file(&mut self, file: u32, length: u64) -> Result<()> {
        self.files.get(file)?.borrow_mut().set_length(length);
        Ok(())
    }

    pub(crate) fn wanted(&mut self, file: u32) -> Result<u64> {
        Ok(self.files.get(file)?.borrow().wanted())
    }

    pub(crate) fn free_file(&mut self, file: u32) {
        self.files.items.remove(&file);
    }

    fn open_audio(&mut self, file: u32) -> Result<AudioFile<StoreReader>> {
        Ok(AudioFile::from_reader(open_reader(self.files.get(file)?)?, Limits::default())?)
    }

    /// Writes what a file says of itself to the text, as JSON.
    pub(crate) fn describe_file(&mut self, file: u32) -> Result<()> {
        let reader = open_reader(self.files.get(file)?)?;
        let has = |codec: &str| reader.tracks().iter().any(|t| t.codec_id == codec);
        // A file with neither is refused for its sound, which is what most files have.
        self.text = if has(AUDIO_CODEC_ID) || !has(VIDEO_CODEC_ID) {
            let audio = AudioFile::from_reader(reader, Limits::default())?;
            to_json(&describe(audio.reader(), Some(&audio))?)?
        } else {
            to_json(&describe(&reader, None)?)?
        };
        Ok(())
    }

    /// Opens a decoder of a file with the bundle.
    pub(crate) fn new_decoder(&mut self, file: u32) -> Result<u32> {
        let file = self.open_audio(file)?;
        let channels = file.header().channels;
        if channels != 1 {
            // Its samples would come out interleaved, where the page expects one channel.
            return Err(format!("the sound has {channels} channels, and this player plays one").into());
        }
        // Behind that: no bundle has to be there for the refusal.
        let (bundle, runtime) = self.model.as_ref().ok_or_else(no_bundle)?;
        bundle.check_stream(file.header())?;
        Ok(self.decoders.insert(FileDecoder::new(file, bundle, runtime)?))
    }

    /// Decodes the next packet to the samples; their number, 0 at the end.
    pub(crate) fn decode(&mut self, decoder: u32) -> Result<usize> {
        self.samples.clear();
        self.decoders.get(decoder)?.decode_next(&mut self.samples)?;
        Ok(self.samples.len())
    }

    /// The place of the next sample in the file, in samples.
    pub(crate) fn position(&mut self, decoder: u32) -> Result<u64> {
        Ok(self.decoders.get(decoder)?.position())
    }

    pub(crate) fn seek(&mut self, decoder: u32, seconds: f64) -> Result<()> {
        Ok(self.decoders.get(decoder)?.seek(seconds)?)
    }

    /// Writes what was missing since the last seek to the text, as JSON.
    pub(crate) fn describe_damage(&mut self, decoder: u32) -> Result<()> {
        let losses = self.decoders.get(decoder)?.losses();
        let damage = Damage {
            counts: Counts::Sound {
                bad_packets: losses.bad_packets,
                concealed_samples: losses.concealed_samples,
            },
            ends_early: losses.ends_early,
            damage: losses.damage.as_deref(),
        };
        self.text = to_json(&damage)?;
        Ok(())
    }

    pub(crate) fn free_decoder(&mut self, decoder: u32) {
        self.decoders.items.remove(&decoder);
    }

    /// Opens a reader of a file's codes.
    pub(crate) fn new_code_reader(&mut self, file: u32) -> Result<u32> {
        let file = self.open_audio(file)?;
        let (bundle, _) = self.model.as_ref().ok_or_else(no_bundle)?;
        bundle.check_stream(file.header())?;
        let coder = siskin_core::audio::load_entropy_tables(bundle)?.map(Coder::new);
        Ok(self.code_readers.insert(CodeReader { file, coder, block: Block::default() }))
    }

    /// Reads the next packet's codes, `[frame][stage][group]`; their number, 0 at the end.
    pub(crate) fn read_codes(&mut self, reader: u32) -> Result<usize> {
        let CodeReader { file, coder, block } = self.code_readers.get(reader)?;
        self.codes.clear();
        while self.codes.is_empty() && file.next_packet(block)? {
            // A packet of comfort noise has no codes, and is passed over.
            codes_from_packet(&block.data, file.header(), coder.as_mut(), &mut self.codes)?;
        }
        Ok(self.codes.len())
    }

    /// Opens the video of a file.
    pub(crate) fn new_video(&mut self, file: u32) -> Result<u32> {
        let video = VideoReader::open(self.files.get(file)?)?;
        Ok(self.videos.insert(video))
    }

    /// Decodes the next frame of a video's packet, else its next packet.
    pub(crate) fn decode_video(&mut self, video: u32) -> Result<Step> {
        self.videos.get(video)?.decode_next()
    }

    /// A video, for what is asked of it.
    pub(crate) fn video(&mut self, video: u32) -> Result<&mut VideoReader> {
        self.videos.get(video)
    }

    /// Writes what was missing of a video since the last seek to the text, as JSON.
    pub(crate) fn describe_video_damage(&mut self, video: u32) -> Result<()> {
        let video = self.videos.get(video)?;
        let damage = Damage {
            counts: Counts::Video { bad_frames: video.losses().bad_frames },
            ends_early: video.is_truncated(),
            damage: video.losses().damage.as_deref(),
        };
        self.text = to_json(&damage)?;
        Ok(())
    }

    pub(crate) fn free_video(&mut self, video: u32) {
        self.videos.items.remove(&video);
    }

    /// Begins a recording with the bundle, which must have its encoder.
    pub(crate) fn new_recorder(&mut self, stages: u8) -> Result<u32> {
        let (bundle, runtime) = self.model.as_ref().ok_or_else(no_bundle)?;
        let recorder = Recorder::new(bundle, runtime, stages)?;
        Ok(self.recorders.insert(recorder))
    }

    /// Samples per second that a recording takes.
    pub(crate) fn recorder_rate(&mut self, recorder: u32) -> Result<u32> {
        Ok(self.recorders.get(recorder)?.sample_rate())
    }

    /// Encodes the input, 32-bit floats; the bytes that the recording has so far.
    pub(crate) fn record(&mut self, recorder: u32) -> Result<usize> {
        self.samples.clear();
        self.samples.extend(self.input.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        self.recorders.get(recorder)?.push(&self.samples)
    }

    /// Ends a recording; the number of the bytes of its file.
    pub(crate) fn finish_recorder(&mut self, recorder: u32) -> Result<usize> {
        self.recorders.get(recorder)?;
        let recorder = self.recorders.items.remove(&recorder);
        self.bytes = recorder.map_or_else(|| Ok(Vec::new()), Recorder::finish)?;
        Ok(self.bytes.len())
    }

    pub(crate) fn free_recorder(&mut self, recorder: u32) {
        self.recorders.items.remove(&recorder);
    }

    pub(crate) fn free_code_reader(&mut self, reader: u32) {
        self.code_readers.items.remove(&reader);
    }
}

fn describe<'a>(
    container: &'a Reader<StoreReader>,
    audio: Option<&'a AudioFile<StoreReader>>,
) -> Result<Description<'a>> {
    let sound = audio.map(|audio| {
        let header = audio.header();
        SoundDescription {
            bundle: header.bundle.to_string(),
            bundle_name: &header.bundle_name,
            sample_rate: header.sample_rate,
            channels: header.channels,
            frame_samples: header.hop,
            stages: header.stages,
            codes_per_stage: header.groups,
            samples: audio.stated_samples(),
        }
    });
    let video = find_track(container)?.map(|(_, header)| VideoDescription {
        width: header.width,
        height: header.height,
        frame_rate: header.frame_rate,
        pixel_aspect: header.pixel_aspect,
    });
    let ids = container.tracks().iter().map(|t| t.codec_id.as_str());
    Ok(Description {
        sound,
        video,
        seconds: container.duration_ns().map(|ns| ns as f64 / 1e9),
        others: ids
            .filter(|id| {
                id.starts_with("A_") && *id != AUDIO_CODEC_ID || id.starts_with("V_") && *id != VIDEO_CODEC_ID
            })
            .collect(),
        tags: container.tags().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        chapters: (container.chapters().iter())
            .map(|c| ChapterMark { seconds: c.start_ns as f64 / 1e9, title: &c.title })
            .collect(),
    })
}

fn to_json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(value).map_err(|e| e.to_string())?)
}

fn no_bundle() -> Failure {
    Failure::Broken("no bundle is open".into())
}
