//! Imports a checkpoint, encodes samples to tokens and decodes them, one frame at a time:
//! `run_checkpoint KIND CHECKPOINT BUNDLE SAMPLES STAGES CODES OUT`. Samples are 32-bit floats, codes 64-bit integers
//! `[frame][stage]`. `models/tests/test_imports.py` compares both with what the published codec gives.

use std::fs;
use std::path::Path;

use siskin_audio::tokens::{OnBadToken, TokenStream, Tokenizer};
use siskin_import::{Kind, import};
use siskin_model::bundle::Bundle;
use siskin_model::runtime::Runtime;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, checkpoint, bundle, samples, stages, codes, out] = &arguments[..] else {
        return Err("KIND CHECKPOINT BUNDLE SAMPLES STAGES CODES OUT".into());
    };
    let bundle = if Path::new(bundle).exists() {
        Bundle::open(bundle)?
    } else {
        let kind = Kind::find(kind).ok_or("no such kind")?;
        import(kind, Path::new(checkpoint))?.write(Path::new(bundle))?
    };
    let runtime = Runtime::load(&Default::default())?;
    let pcm: Vec<f32> = fs::read(samples)?.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let stages: u8 = stages.parse()?;
    let mut tokenizer = Tokenizer::new(&bundle, &runtime, "parallel", Some(stages))?;
    tokenizer.set_block(siskin_audio::MAX_BLOCK);
    let mut tokens = Vec::new();
    // In uneven parts: codes do not depend on them.
    for part in pcm.chunks(777) {
        tokenizer.push_samples(part, &mut tokens)?;
    }
    tokenizer.finish_stream(false, &mut tokens)?;
    fs::write(codes, tokens.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>())?;
    let mut stream = TokenStream::new(&bundle, &runtime, "parallel", stages, OnBadToken::Refuse)?;
    let mut decoded = Vec::new();
    for part in tokens.chunks(usize::from(stages)) {
        stream.push_tokens(part, &mut decoded)?;
    }
    stream.finish_stream(&mut decoded)?;
    fs::write(out, decoded.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(())
}
