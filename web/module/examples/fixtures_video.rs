//! Writes the video that the web player's tests play, with the hashes of the frames that the program decodes from it:
//!
//!   cargo run -p siskin-web --example fixtures_video FOLDER SPEECH.mka
//!
//! - video.mkv: ten seconds of 320x180 at 25 frames/s with sound; late.mkv: the sound begins a second after the frames and ends before
//!   them; silent.mkv: without sound; live.mkv: the same as a live stream, without a length and an index;
//! - groups.mkv: three seconds in packets of eight frames;
//! - NAME.frames: a line a frame: its time in ms and the FNV-1a hash of its pixels (red, green, blue);
//! - holes.mkv: video.mkv with damage in a frame;
//! - network.mkv, fit.mkv: packets of codings that need a network.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use siskin_core::Limits;
use siskin_core::audio::file::AudioFile;
use siskin_core::bitstream::packet::Packet;
use siskin_core::bitstream::{StreamHeader, VideoHeader, video_packet};
use siskin_core::container::{Block, Mode, Reader, Track, Writer, WriterOptions};
use siskin_core::media::{PixelFormat, Rounding, Size, TimeBase, VideoFrame};
use siskin_core::runtime::{Runtime, RuntimeOptions};
use siskin_core::video::realtime::{Config, Encoder, Target};
use siskin_core::video::{Coding, Decoder};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Frames per second, and frames.
const RATE: u64 = 25;
const FRAMES: u64 = 10 * RATE;
const MS: u64 = 1_000_000;
const FRAME_NS: u64 = 1000 * MS / RATE;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, speech] = arguments.as_slice() else {
        return Err("usage: fixtures_video FOLDER SPEECH.mka".into());
    };
    std::fs::create_dir_all(folder)?;
    let header = VideoHeader {
        width: 320,
        height: 180,
        frame_rate: (RATE as u32, 1),
        pixel_aspect: (1, 1),
        colorimetry: Default::default(),
    };
    let frames = encode(&header)?;
    let sound = Sound::read(speech)?;
    let video = write(&header, &frames, Some((&sound, 0, 10_000 * MS)))?;
    std::fs::write(folder.join("video.mkv"), &video)?;
    std::fs::write(
        folder.join("late.mkv"),
        write(&header, &frames[..75], Some((&sound, 1000 * MS, 1000 * MS)))?,
    )?;
    std::fs::write(folder.join("silent.mkv"), write(&header, &frames[..75], None)?)?;
    std::fs::write(folder.join("live.mkv"), write_as(Mode::Live, &header, &frames[..75], None)?)?;
    std::fs::write(folder.join("video.frames"), hashes(&frames)?)?;
    let groups = encode_groups(&header)?;
    std::fs::write(folder.join("groups.mkv"), write(&header, &groups, None)?)?;
    std::fs::write(folder.join("groups.frames"), hashes(&groups)?)?;

    // In the middle of the packet of a frame that is no keyframe; the container around it stays whole.
    let packet = &frames[60].data;
    let mut holes = video;
    let at =
        holes.windows(packet.len()).position(|w| w == packet.as_slice()).ok_or("the file lacks a packet")?;
    holes[at + packet.len() / 2] ^= 0x5a;
    std::fs::write(folder.join("holes.mkv"), holes)?;

    for (name, coding) in [("network.mkv", Coding::Realtime), ("fit.mkv", Coding::Fitted)] {
        let mut packet = Vec::new();
        video_packet::write_head(coding, Some(&header), (0, 1), None, &mut packet);
        packet.extend([7; 50]);
        video_packet::append_checksum(&mut packet);
        std::fs::write(
            folder.join(name),
            write(&header, &[Coded { data: packet, is_keyframe: true, frames: 1 }], None)?,
        )?;
    }
    Ok(())
}

/// A frame of a scene: bars that move over a slope, and a grid whose colors change, so that each frame is another.
fn draw(i: u64, size: Size) -> VideoFrame {
    let mut frame = VideoFrame::new(PixelFormat::I420, size);
    for (p, mut plane) in frame.planes_mut().enumerate() {
        for (y, row) in plane.rows_mut().enumerate() {
            for (x, sample) in row.iter_mut().enumerate() {
                let (x, y, i) = (x as u64, y as u64, i);
                *sample = match p {
                    0 if (x + 3 * i) % 64 < 20 => (200 - y / 2) as u8,
                    0 => (40 + (x * 3 + y * 2 + i) % 150) as u8,
                    _ => (100 + (x / 16 * 7 + y / 16 * 11 + i * p as u64) % 60) as u8,
                };
            }
        }
    }
    frame
}

/// A packet.
struct Coded {
    data: Vec<u8>,
    is_keyframe: bool,
    frames: u64,
}

/// A frame a packet.
fn encode(header: &VideoHeader) -> Result<Vec<Coded>> {
    let config = Config {
        target: Target::Bitrate(400_000),
        keyframe_interval: 50,
        refinements: 0,
        ..Default::default()
    };
    let mut encoder = Encoder::new(*header, &config)?;
    let size = header.size()?;
    let mut packets = Vec::new();
    for i in 0..FRAMES {
        let coded = encoder.encode_frame(&draw(i, size).view(), None)?;
        packets.push(Coded { data: coded.data.to_vec(), is_keyframe: coded.is_keyframe, frames: 1 });
    }
    Ok(packets)
}

/// Three seconds with eight frames in each packet behind a keyframe, whether that pays or not.
fn encode_groups(header: &VideoHeader) -> Result<Vec<Coded>> {
    let config =
        Config { target: Target::Quality(20), keyframe_interval: 33, lookahead: 8, ..Default::default() };
    let mut encoder = Encoder::new(*header, &config)?;
    let size = header.size()?;
    let frames: Vec<VideoFrame> = (0..75).map(|i| draw(i, size)).collect();
    let (mut packets, mut rest) = (Vec::new(), frames.as_slice());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(if packets.len() % 5 == 0 { 1 } else { 8 });
        let views: Vec<_> = now.iter().map(VideoFrame::view).collect();
        let coded = encoder.encode_group(&views, None)?;
        let (data, frames) = (coded.data.to_vec(), now.len() as u64);
        packets.push(Coded { data, is_keyframe: coded.is_keyframe, frames });
        rest = later;
    }
    Ok(packets)
}

/// What the program's decoder makes of the packets.
fn hashes(packets: &[Coded]) -> Result<String> {
    let mut decoder = Decoder::new(&Runtime::load(&RuntimeOptions::default())?);
    let (mut frame, mut lines) = (VideoFrame::default(), String::new());
    let mut time = 0;
    for packet in packets {
        decoder.load(&packet.data)?;
        for index in 0..packet.frames as usize {
            decoder.decode_frame(index, PixelFormat::Rgb, &mut frame)?;
            let mut hash = 0x811c_9dc5_u32;
            frame.data().iter().for_each(|&byte| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
            writeln!(lines, "{time} {hash}")?;
            time += 1000 / RATE;
        }
    }
    Ok(lines)
}

/// The packets of a file of sound, whose times begin at 0.
struct Sound {
    header: StreamHeader,
    packets: Vec<Block>,
}

impl Sound {
    fn read(path: &Path) -> Result<Self> {
        let data = std::fs::read(path)?;
        let mut file = AudioFile::open(Cursor::new(&data), Limits::default())?;
        let header = file.header().clone();
        let mut packets = Vec::new();
        let mut block = Block::default();
        let clock = TimeBase::from_sample_rate(header.sample_rate);
        while file.next_packet(&mut block)? {
            // Laced packets have no duration in the container.
            let samples = Packet::parse(&block.data, &Limits::default())?.bind(&header)?.sample_count();
            block.duration_ns = clock.ticks_to_ns(samples, Rounding::Down);
            packets.push(block.clone());
        }
        Ok(Self { header, packets })
    }
}

/// A file of frames, and of sound from a time on for as long as is wanted.
fn write(header: &VideoHeader, frames: &[Coded], sound: Option<(&Sound, u64, u64)>) -> Result<Vec<u8>> {
    write_as(Mode::File, header, frames, sound)
}

fn write_as(
    mode: Mode,
    header: &VideoHeader,
    frames: &[Coded],
    sound: Option<(&Sound, u64, u64)>,
) -> Result<Vec<u8>> {
    let mut tracks = vec![Track::video(header)];
    tracks.extend(sound.map(|(sound, ..)| Track::audio(&sound.header)));
    let mut writer = Writer::new(tracks, WriterOptions { mode, ..Default::default() })?;
    let mut file = Vec::new();
    writer.write_header(&mut file)?;
    // Begun anew where it is over: its first packet begins a stream.
    let mut packets = sound.into_iter().flat_map(|(sound, from, lasts)| {
        let mut end = from;
        let times = sound.packets.iter().cycle().map(move |packet| {
            let start = end;
            end += packet.duration_ns.unwrap_or(1000 * MS);
            (start, end - start, packet.data.as_slice())
        });
        times.take_while(move |(start, length, _)| start + length <= from + lasts)
    });
    let mut waiting = packets.next();
    let mut start = 0;
    for packet in frames {
        while let Some((at, length, data)) = waiting.filter(|w| w.0 <= start) {
            writer.write_block(1, at, length, true, data, &mut file)?;
            waiting = packets.next();
        }
        let lasts = packet.frames * FRAME_NS;
        writer.write_block(0, start, lasts, packet.is_keyframe, &packet.data, &mut file)?;
        start += lasts;
    }
    for patch in writer.finish(&mut file)? {
        patch.apply(&mut file)?;
    }
    // As a reader finds it.
    Reader::open(Cursor::new(&file))?;
    Ok(file)
}
