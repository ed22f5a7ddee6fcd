//! Learns where the adaptive decisions of a real-time video bundle begin, from clips, and writes that into the bundle.
//!
//! `cargo run --release -p siskin-core --example video_contexts -- BUNDLE CLIP.y4m...`; clips are 4:2:0 of 8 bits. With
//! `--only-measure` before the bundle nothing is written; `--steps N` after it sets the steps of refinement. Each pass codes every clip at several qualities, beginning from
//! what the pass before has found, and prints bits and PSNR.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use sha2::{Digest, Sha256};
use siskin_core::bitstream::VideoHeader;
use siskin_core::bundle::VideoBundle;
use siskin_core::media::{PixelFormat, VideoFrame, VideoFrameView, YuvMatrix};
use siskin_core::runtime::{Runtime, RuntimeOptions};
use siskin_core::video::{frame_psnr, realtime};

const QUALITIES: [u8; 4] = [8, 16, 24, 32];
const PASSES: usize = 3;
const FRAMES: usize = 60;

struct Clip {
    header: VideoHeader,
    frames: Vec<Vec<u8>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let only_measure = args.first().is_some_and(|a| a == "--only-measure");
    if only_measure {
        args.remove(0);
    }
    let mut steps = realtime::Config::default().refinements;
    if args.first().is_some_and(|a| a == "--steps") {
        args.remove(0);
        steps = args.remove(0).parse()?;
    }
    let [folder, clips @ ..] = args.as_slice() else { return Err("BUNDLE CLIP.y4m...".into()) };
    let runtime = Runtime::load(&RuntimeOptions { threads: 2, ..Default::default() })?;
    let clips: Vec<(&str, Clip)> = clips
        .iter()
        .map(|c| Ok((c.as_str(), read_y4m(&fs::read(c)?)?)))
        .collect::<Result<_, Box<dyn Error>>>()?;
    for pass in 0..if only_measure { 1 } else { PASSES } {
        let bundle = VideoBundle::open(folder)?;
        let start = fs::read(Path::new(folder).join(&bundle.manifest().contexts))?;
        let start: Vec<u16> = start.as_chunks::<2>().0.iter().map(|&p| u16::from_le_bytes(p)).collect();
        let (mut sums, mut counts) = (vec![0.0; start.len()], vec![0.0; start.len()]);
        for (name, clip) in &clips {
            for quality in QUALITIES {
                for (i, p) in
                    measure(&runtime, &bundle, clip, (quality, steps), name)?.into_iter().enumerate()
                {
                    if p != start[i] {
                        sums[i] += logit(p);
                        counts[i] += 1.0;
                    }
                }
            }
        }
        if !only_measure {
            let learned = start.iter().zip(sums.iter().zip(&counts)).map(|(&s, (sum, &count))| {
                // A little of what it was, for decisions that are rare.
                probability((logit(s) * 0.5 + sum) / (count + 0.5))
            });
            let bytes: Vec<u8> = learned.flat_map(u16::to_le_bytes).collect();
            write(Path::new(folder), &bundle.manifest().contexts, &bytes)?;
            eprintln!("pass {} done", pass + 1);
        }
    }
    Ok(())
}

fn logit(p: u16) -> f64 {
    let p = (f64::from(p) / 65536.0).clamp(1e-4, 1.0 - 1e-4);
    (p / (1.0 - p)).ln()
}

fn probability(logit: f64) -> u16 {
    (65536.0 / (1.0 + (-logit).exp())).round() as u16
}

fn measure(
    runtime: &Runtime,
    bundle: &VideoBundle,
    clip: &Clip,
    (quality, steps): (u8, u32),
    name: &str,
) -> Result<Vec<u16>, Box<dyn Error>> {
    let config = realtime::Config {
        target: realtime::Target::Step(quality),
        refinements: steps,
        ..Default::default()
    };
    let mut encoder = realtime::NetworkEncoder::new(clip.header, runtime, bundle, &config)?;
    let size = clip.header.size()?;
    let matrix = YuvMatrix::from_colorimetry(&clip.header.colorimetry);
    let (mut bytes, mut sum, mut seconds) = (0, 0.0, 0.0);
    let (mut decoded, mut original) = (VideoFrame::default(), VideoFrame::default());
    for frame in &clip.frames {
        let begun = Instant::now();
        let frame = VideoFrameView::from_data(PixelFormat::I420, size, frame)?;
        bytes += encoder.encode_frame(&frame, None)?.data.len();
        seconds += begun.elapsed().as_secs_f64();
        encoder.reconstructed_frame().convert_to(PixelFormat::Rgb, &matrix, &mut decoded);
        frame.convert_to(PixelFormat::Rgb, &matrix, &mut original);
        sum += frame_psnr(&decoded.view(), &original.view());
    }
    let frames = clip.frames.len() as f64;
    let bpp = bytes as f64 * 8.0 / (clip.header.pixels() as f64 * frames);
    eprintln!("{name} q {quality}: {bpp:.4} bpp, {:.2} dB, {:.1} fps", sum / frames, frames / seconds);
    Ok(encoder.probabilities())
}

/// Puts a new file in place and renews its hash in the manifest.
fn write(folder: &Path, file: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let path = folder.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    manifest["files"][file] = hex::encode(Sha256::digest(bytes)).into();
    fs::write(folder.join(file), bytes)?;
    fs::write(path, serde_json::to_string_pretty(&manifest)? + "\n")?;
    Ok(())
}

fn read_y4m(data: &[u8]) -> Result<Clip, Box<dyn Error>> {
    let end = data.iter().position(|&b| b == b'\n').ok_or("no y4m header")?;
    let line = std::str::from_utf8(&data[..end])?;
    let field = |letter: char| {
        line.split(' ').skip(1).find_map(|f| f.strip_prefix(letter)?.parse::<u32>().ok()).ok_or(letter)
    };
    let header = VideoHeader {
        width: field('W').map_err(|_| "no width")?,
        height: field('H').map_err(|_| "no height")?,
        frame_rate: (30, 1),
        pixel_aspect: (1, 1),
        colorimetry: Default::default(),
    };
    let size = realtime::i420_bytes(&header);
    let frames = data[end + 1..].chunks_exact(size + 6).take(FRAMES).map(|f| f[6..].to_vec()).collect();
    Ok(Clip { header, frames })
}
