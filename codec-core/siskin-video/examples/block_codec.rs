//! Encodes a .y4m of 4:2:0 with the block codec, decodes it, and prints rate and PSNR.
//!
//!     cargo run --release -p siskin-video --example block_codec -- clip.y4m 10 20 30
//!
//! Numbers of 100 and more are bit rates; then the average and the worst second are printed as parts of it. `r0` is `--refine 0`,
//! `k120` the frames from a keyframe to the next, `l8` the frames that a packet may hold.

#![allow(clippy::print_stdout, reason = "what it measures is its output")]

use siskin_bitstream::VideoHeader;
use siskin_media::{PixelFormat, VideoFrame, VideoFrameView, YuvMatrix};
use siskin_video::realtime::{Config, Target};
use siskin_video::{blocks, psnr};

fn read_clip(path: &str) -> Option<(VideoHeader, Vec<Vec<u8>>)> {
    let data = std::fs::read(path).ok()?;
    let end = data.iter().position(|&b| b == b'\n')?;
    let head = String::from_utf8_lossy(&data[..end]).into_owned();
    let field = |c: char| head.split(' ').find_map(|f| f.strip_prefix(c).map(str::to_owned));
    let (width, height) = (field('W')?.parse().ok()?, field('H')?.parse().ok()?);
    let rate = field('F')?;
    let (n, d) = rate.split_once(':')?;
    let header = VideoHeader {
        width,
        height,
        frame_rate: (n.parse().ok()?, d.parse().ok()?),
        pixel_aspect: (1, 1),
        colorimetry: Default::default(),
    };
    let size = PixelFormat::I420.frame_bytes(header.size().ok()?);
    let mut frames = Vec::new();
    let mut rest = &data[end + 1..];
    while let Some(line) = rest.iter().position(|&b| b == b'\n') {
        let frame = rest.get(line + 1..line + 1 + size)?;
        frames.push(frame.to_vec());
        rest = &rest[line + 1 + size..];
    }
    Some((header, frames))
}

/// Adds the PSNR over RGB and of each plane.
fn measure(frame: &[u8], own: &VideoFrame, sums: &mut [f64; 4]) -> siskin_video::Result<()> {
    let size = own.size();
    let (luma, chroma) = (size.pixel_count(), size.chroma().pixel_count());
    let matrix = YuvMatrix::from_colorimetry(&Default::default());
    let mut rgb = [VideoFrame::default(), VideoFrame::default()];
    own.view().convert_to(PixelFormat::Rgb, &matrix, &mut rgb[0]);
    let source = VideoFrame::from_data(PixelFormat::I420, size, frame.to_vec())?;
    source.view().convert_to(PixelFormat::Rgb, &matrix, &mut rgb[1]);
    sums[0] += psnr(rgb[0].data(), rgb[1].data());
    sums[1] += psnr(&frame[..luma], &own.data()[..luma]);
    sums[2] += psnr(&frame[luma..luma + chroma], &own.data()[luma..luma + chroma]);
    sums[3] += psnr(&frame[luma + chroma..], &own.data()[luma + chroma..]);
    Ok(())
}

/// Seconds of processor time that the threads of this program have taken; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_one = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    threads.filter_map(of_one).sum::<f64>() / 1e9
}

/// The average and the worst second of packets as parts of a bit rate, and the largest packet as a part of a second of it. Bits of a
/// packet count evenly for its frames, as many as `counts` says.
fn told_rates(packets: &[Vec<u8>], counts: &[usize], header: &VideoHeader, rate: u32) -> String {
    let parts: Vec<f64> = packets.iter().map(|p| 8.0 * p.len() as f64 / f64::from(rate)).collect();
    let spread = |(&part, &count): (&f64, &usize)| std::iter::repeat_n(part / count as f64, count);
    let bits: Vec<f64> = parts.iter().zip(counts).flat_map(spread).collect();
    let second = (header.frame_rate.0 as f64 / f64::from(header.frame_rate.1)).round() as usize;
    let average = bits.iter().sum::<f64>() * second as f64 / bits.len() as f64;
    let worst = bits.windows(second).map(|w| w.iter().sum::<f64>()).fold(0.0, f64::max);
    let largest = parts.iter().copied().fold(0.0, f64::max);
    format!("average {average:.3} worst second {worst:.3} largest packet {largest:.3}")
}

fn main() -> siskin_video::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let Some((header, frames)) = read_clip(&path) else {
        eprintln!("{path}: not a .y4m of 4:2:0");
        return Ok(());
    };
    let size = header.size()?;
    let arguments: Vec<String> = arguments.collect();
    for other in arguments.iter().filter(|a| a.ends_with(".y4m")) {
        let Some((_, other)) = read_clip(other) else { continue };
        let mut sums = [0.0; 4];
        for (frame, own) in frames.iter().zip(&other) {
            let own = VideoFrame::from_data(PixelFormat::I420, size, own.clone())?;
            measure(frame, &own, &mut sums)?;
        }
        let [rgb, y, u, v] = sums.map(|s| s / frames.len() as f64);
        println!("{path} other bytes 0 rgb {rgb:.3} y {y:.3} u {u:.3} v {v:.3}");
    }
    let option = |letter: char| arguments.iter().find_map(|a| a.strip_prefix(letter)?.parse::<u32>().ok());
    let (refinements, keyframe_interval) = (option('r').unwrap_or(1), option('k').unwrap_or(1000));
    let lookahead = option('l').unwrap_or(0);
    for quality in arguments.iter().filter_map(|q| q.parse::<u32>().ok()) {
        let target = if quality < 100 { Target::Step(quality as u8) } else { Target::Bitrate(quality) };
        let config = Config { target, keyframe_interval, refinements, lookahead, ..Default::default() };
        let mut encoder = blocks::Encoder::new(header, &config)?;
        let (begun, clock) = (cpu_seconds(), std::time::Instant::now());
        let (mut packets, mut seen) = (Vec::new(), Vec::new());
        let views = frames.iter().map(|f| VideoFrameView::from_data(PixelFormat::I420, size, f));
        let views = views.collect::<Result<Vec<_>, _>>()?;
        let mut rest = &views[..];
        while !rest.is_empty() {
            let group = &rest[..encoder.plan(&rest[..rest.len().min(lookahead.max(1) as usize)])?];
            packets.push(encoder.encode_group(group, None)?.data.to_vec());
            for view in encoder.reconstructed_frames()? {
                let mut own = VideoFrame::default();
                view.copy_to(&mut own);
                seen.push(own);
            }
            rest = &rest[group.len()..];
        }
        let (encode, wall) = (cpu_seconds() - begun, clock.elapsed().as_secs_f64());
        let begun = cpu_seconds();
        let mut decoder = blocks::Decoder::new();
        let (mut decoded, mut counts) = (Vec::new(), Vec::new());
        for packet in &packets {
            let info = decoder.decode(packet)?;
            counts.push(info.frames as usize);
            for index in 0..info.frames as usize {
                let mut own = VideoFrame::default();
                decoder.frame_at(index)?.copy_to(&mut own);
                decoded.push(own);
            }
        }
        let decode = cpu_seconds() - begun;
        let mut sums = [0.0; 4];
        for ((frame, own), seen) in frames.iter().zip(&decoded).zip(&seen) {
            assert!(own == seen, "the decoder differs");
            measure(frame, own, &mut sums)?;
        }
        let count = frames.len() as f64;
        let bytes: usize = packets.iter().map(Vec::len).sum();
        let [rgb, y, u, v] = sums.map(|s| s / count);
        println!(
            "{path} {quality} bytes {bytes} rgb {rgb:.3} y {y:.3} u {u:.3} v {v:.3} cpu {:.2} wall {:.2} dcpu {:.2} ms first {}",
            1e3 * encode / count,
            1e3 * wall / count,
            1e3 * decode / count,
            packets[0].len()
        );
        if quality >= 100 {
            println!("  {}", told_rates(&packets, &counts, &header, quality));
        }
    }
    Ok(())
}
