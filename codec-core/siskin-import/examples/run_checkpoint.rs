//! Imports a checkpoint, encodes samples to tokens and decodes them, with the input cut in several ways:
//! `run_checkpoint KIND CHECKPOINT BUNDLE SAMPLES STAGES FOLDER CUT...`, where a cut is `SAMPLES:FRAMES` to push at once. For
//! vocos, `KIND` is `vocos:BITRATE:ENCODER_BUNDLE`.
//! Samples are 32-bit floats, channels interleaved, codes 64-bit integers `[frame][code]`; the files `codes-CUT`, `samples-CUT`
//! and, for segments, `scales-CUT` get what comes.
//! `models/tests/test_imports.py` compares both with what the published codec gives.

use std::fs;
use std::path::Path;

use siskin_audio::tokens::{OnBadToken, TokenStream, Tokenizer};
use siskin_import::{Kind, Options, import_with};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, checkpoint, bundle, samples, stages, folder, cuts @ ..] = &arguments[..] else {
        return Err("KIND CHECKPOINT BUNDLE SAMPLES STAGES FOLDER CUT...".into());
    };
    let bundle = if Path::new(bundle).exists() {
        Bundle::open(bundle)?
    } else {
        let (name, options) = kind.split_once(':').unwrap_or((kind, ""));
        let kind = Kind::find(name).ok_or("no such kind")?;
        let options = options.split_once(':');
        let encoder = options.map(|(_, encoder)| Bundle::open(encoder)).transpose()?;
        let bitrate = options.map(|(bitrate, _)| bitrate.parse()).transpose()?;
        let options = Options { encoder: encoder.as_ref(), bitrate };
        import_with(kind, Path::new(checkpoint), &options)?.write(Path::new(bundle))?
    };
    let runtime = Runtime::load(&Default::default())?;
    let pcm: Vec<f32> = fs::read(samples)?.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let stages: u8 = stages.parse()?;
    let per_frame = usize::from(stages) * usize::from(bundle.manifest().quantizer.groups);
    let mut tokenizer = Tokenizer::new(&bundle, &runtime, "parallel", Some(stages))?;
    tokenizer.set_block(siskin_audio::MAX_BLOCK);
    let mut stream = TokenStream::new(&bundle, &runtime, "parallel", stages, OnBadToken::Refuse)?;
    for cut in cuts {
        let (samples, frames) = cut.split_once(':').ok_or("a cut is SAMPLES:FRAMES")?;
        let (samples, frames): (usize, usize) = (samples.parse()?, frames.parse()?);
        let (mut tokens, mut decoded) = (Vec::new(), Vec::new());
        tokenizer.reset();
        for part in pcm.chunks(samples) {
            tokenizer.push_samples(part, &mut tokens)?;
        }
        let length = tokenizer.finish_stream(false, &mut tokens)?;
        let scales = tokenizer.take_scales();
        stream.reset();
        if bundle.manifest().segments.is_some() {
            stream.set_length(length);
            stream.set_scales(scales.clone())?;
        }
        for part in tokens.chunks(frames * per_frame) {
            stream.push_tokens(part, &mut decoded)?;
        }
        stream.finish_stream(&mut decoded)?;
        let folder = Path::new(folder);
        let codes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
        fs::write(folder.join(format!("codes-{cut}")), codes)?;
        for (name, values) in [("samples", &decoded), ("scales", &scales)] {
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            fs::write(folder.join(format!("{name}-{cut}")), bytes)?;
        }
    }
    Ok(())
}
