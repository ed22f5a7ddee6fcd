//! What lies behind the exported functions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use siskin_core::audio::file::{AudioFile, FileDecoder};
use siskin_core::bundle::Bundle;
use siskin_core::container::Block;
use siskin_core::entropy::Coder;
use siskin_core::runtime::Runtime;
use siskin_core::tokens::codes_from_packet;
use siskin_core::{Error, Limits};

use crate::store::{Store, StoreReader};

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

type Result<T> = std::result::Result<T, Failure>;

/// What a file says of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    bundle: String,
    bundle_name: &'a str,
    sample_rate: u32,
    frame_samples: u16,
    stages: u8,
    codes_per_stage: u8,
    /// Samples, where the file states its length.
    samples: Option<u64>,
    tags: BTreeMap<&'a str, &'a str>,
    chapters: Vec<ChapterMark<'a>>,
}

#[derive(Debug, Serialize)]
struct ChapterMark<'a> {
    seconds: f64,
    title: &'a str,
}

/// What decoding found missing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Damage<'a> {
    bad_packets: u64,
    concealed_samples: u64,
    ends_early: bool,
    damage: Option<&'a str>,
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
    bundle_files: BTreeMap<String, Vec<u8>>,
    model: Option<(Bundle, Runtime)>,
    files: Handles<Rc<RefCell<Store>>>,
    decoders: Handles<FileDecoder<StoreReader>>,
    code_readers: Handles<CodeReader>,
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
        let store = self.files.get(file)?.clone();
        let open = AudioFile::open_arriving(StoreReader::new(store.clone()), Limits::default());
        match open {
            // A program that edits files may have moved the description behind the packets.
            Err(e @ Error::Container { .. }) if !e.is_would_block() => {
                AudioFile::open(StoreReader::new(store), Limits::default()).map_err(|later| match later {
                    later if later.is_would_block() => Failure::NeedsData,
                    _ => e.into(),
                })
            }
            open => Ok(open?),
        }
    }

    /// Writes what a file says of itself to the text, as JSON.
    pub(crate) fn describe_file(&mut self, file: u32) -> Result<()> {
        let file = self.open_audio(file)?;
        let header = file.header();
        let description = Description {
            bundle: header.bundle.to_string(),
            bundle_name: &header.bundle_name,
            sample_rate: header.sample_rate,
            frame_samples: header.hop,
            stages: header.stages,
            codes_per_stage: header.groups,
            samples: file.stated_samples(),
            tags: file.tags().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            chapters: (file.chapters().iter())
                .map(|c| ChapterMark { seconds: c.start_ns as f64 / 1e9, title: &c.title })
                .collect(),
        };
        self.text = serde_json::to_string(&description).map_err(|e| e.to_string())?;
        Ok(())
    }

    /// Opens a decoder of a file with the bundle.
    pub(crate) fn new_decoder(&mut self, file: u32) -> Result<u32> {
        let file = self.open_audio(file)?;
        let (bundle, runtime) = self.model.as_ref().ok_or_else(no_bundle)?;
        bundle.check_stream(file.header())?;
        if file.header().channels != 1 {
            // Its samples would come out interleaved, where the page expects one channel.
            let value = file.header().channels.to_string();
            return Err(Error::Parameter { name: "channels", value, allowed: "1".into() }.into());
        }
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

    /// Writes what was missing so far to the text, as JSON.
    pub(crate) fn describe_damage(&mut self, decoder: u32) -> Result<()> {
        let losses = self.decoders.get(decoder)?.losses();
        let damage = Damage {
            bad_packets: losses.bad_packets,
            concealed_samples: losses.concealed_samples,
            ends_early: losses.ends_early,
            damage: losses.damage.as_deref(),
        };
        self.text = serde_json::to_string(&damage).map_err(|e| e.to_string())?;
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

    pub(crate) fn free_code_reader(&mut self, reader: u32) {
        self.code_readers.items.remove(&reader);
    }
}

fn no_bundle() -> Failure {
    Failure::Broken("no bundle is open".into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::PAGE;

    fn read(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name))
            .expect("a file of the checkout")
    }

    fn state() -> State {
        let mut state = State::default();
        for name in ["decoder.onnx", "codebooks.safetensors", "entropy.safetensors"] {
            state.input = [name.as_bytes(), &read(&format!("models/bundles/speech-24k/{name}"))].concat();
            state.add_bundle_file(name.len()).expect("a file of the bundle");
        }
        state.input = read("models/bundles/speech-24k/manifest.json");
        state.open_bundle().expect("the bundle without its encoder");
        state
    }

    fn samples(state: &mut State, decoder: u32) -> Vec<f32> {
        let mut all = Vec::new();
        while state.decode(decoder).expect("samples") > 0 {
            all.extend_from_slice(&state.samples);
        }
        all
    }

    #[test]
    fn a_file_in_any_order_is_the_same_sound() {
        let (mut state, data) = (state(), read("testdata/compat/speech-24k-0.2.0.mka"));
        let whole = state.new_file();
        state.input = data.clone();
        state.write_file(whole, 0).expect("all at once");
        state.finish_file(whole, data.len() as u64).expect("its length");
        let decoder = state.new_decoder(whole).expect("a decoder");
        let expected = samples(&mut state, decoder);
        assert!(expected.len() > 24_000);

        let pieces = state.new_file();
        let middle = (data.len() / 2) / PAGE as usize * PAGE as usize;
        state.input = data[middle..].to_vec();
        state.write_file(pieces, middle as u64).expect("the end");
        if middle > 0 {
            assert!(matches!(state.new_decoder(pieces), Err(Failure::NeedsData)));
            assert_eq!(state.wanted(pieces).expect("a place"), 0);
            state.input = data[..middle].to_vec();
            state.write_file(pieces, 0).expect("the beginning");
        }
        let other = state.new_decoder(pieces).expect("a decoder");
        let first = state.decode(other).expect("samples");
        assert_eq!(state.samples, expected[..first]);
        assert_eq!(state.position(other).expect("a place"), first as u64);
        // Without the length the end is waited for, and is then the end.
        loop {
            match state.decode(other) {
                Ok(0) => unreachable!("the length is not known"),
                Ok(_) => {}
                Err(Failure::NeedsData) => break,
                Err(Failure::Broken(reason)) => unreachable!("{reason}"),
            }
        }
        state.finish_file(pieces, data.len() as u64).expect("its length");
        while state.decode(other).expect("samples") > 0 {}
        state.seek(other, 0.5).expect("a seek");
        let count = state.decode(other).expect("samples");
        assert_eq!(state.samples, expected[12_000..12_000 + count]);
    }

    #[test]
    fn numbers_of_nothing_are_refused() {
        let mut state = State::default();
        let file = state.new_file();
        assert!(matches!(state.new_decoder(file), Err(Failure::NeedsData)));
        state.finish_file(file, 0).expect("a length");
        assert!(
            matches!(state.new_decoder(file), Err(Failure::Broken(reason)) if reason.contains("not a Matroska file"))
        );
        state.free_file(file);
        assert!(
            matches!(state.wanted(file), Err(Failure::Broken(reason)) if reason == "nothing has the number 1")
        );
        assert!(matches!(state.decode(7), Err(Failure::Broken(_))));
        assert!(
            matches!(state.open_bundle(), Err(Failure::Broken(reason)) if reason.contains("manifest.json"))
        );
    }
}
