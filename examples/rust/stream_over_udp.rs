//! Sends speech over UDP in real time, one frame of 20 ms in a datagram, and loses some of them on the way; the receiver brings
//! lost frames back from the redundancy in the next packet, or conceals them.
//!
//! `cargo run --release -p siskin-examples --example stream_over_udp -- IN.wav OUT.wav [LOSS]`; IN.wav is mono at 24 kHz, LOSS
//! is the share of datagrams to lose, such as 0.1.
//!
//! A datagram is a sequence number and a packet. Where other programs are to understand the stream use RTP instead
//! (docs/rtp-payload.md), which the GStreamer elements `rtpsiskinaudiopay` and `rtpsiskinaudiodepay` speak.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use siskin_core::audio::{Decoder, Encoder, EncoderConfig};
use siskin_core::bundle::Bundle;
use siskin_core::runtime::Runtime;

/// The datagram that ends the stream has this number and no packet.
const END: u32 = u32::MAX;
/// Silence on the line that ends the stream, too: its end may have been lost.
const TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, loss @ ..] = &args[..] else {
        return Err(anyhow!("usage: stream_over_udp IN.wav OUT.wav [LOSS]"));
    };
    let loss: f64 = loss.first().map_or(Ok(0.1), |l| l.parse()).context("LOSS is a number from 0 to 1")?;

    let bundle = Bundle::find("speech-24k")?;
    let runtime = Runtime::load(&Default::default())?;
    let (rate, hop) = (bundle.manifest().sample_rate, usize::from(bundle.manifest().hop));
    let mut wav = hound::WavReader::open(input)?;
    ensure!(wav.spec().channels == 1 && wav.spec().sample_rate == rate, "{input} must be mono at {rate} Hz");
    let samples = wav.samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32_768.0));
    let samples = samples.collect::<Result<Vec<f32>, _>>()?;

    // Each packet repeats the frame before it coarsely, so that a single loss is brought back.
    let config = EncoderConfig { frames_per_packet: 1, redundancy: 1, ..Default::default() };
    let mut encoder = Encoder::new(&bundle, &runtime, &config)?;
    let decoder = Decoder::new(&bundle, &runtime)?;

    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let address = receiver.local_addr()?;
    let heard = thread::spawn(move || receive(&receiver, decoder));

    let sender = UdpSocket::bind("127.0.0.1:0")?;
    let (mut sequence, mut lost, mut random) = (0u32, 0u32, 1u32);
    let mut datagram = Vec::new();
    let mut send = |packet: &[u8]| -> siskin_core::Result<()> {
        // The first packet starts the stream and is kept: a receiver would wait for the next stream header.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if sequence > 0 && f64::from(random >> 8) / f64::from(1 << 24) < loss {
            lost += 1;
        } else {
            datagram.clear();
            datagram.extend(sequence.to_be_bytes());
            datagram.extend(packet);
            // A datagram that the system does not take is lost as one on the way is.
            sender.send_to(&datagram, address).ok();
        }
        sequence += 1;
        Ok(())
    };
    let start = Instant::now();
    for (i, frame) in samples.chunks(hop).enumerate() {
        // A microphone would give the next frame only now.
        let due = Duration::from_secs_f64((i * hop) as f64 / f64::from(rate));
        thread::sleep(due.saturating_sub(start.elapsed()));
        encoder.push_samples(frame, &mut |packet| send(packet.data))?;
    }
    encoder.finish_stream(&mut |packet| send(packet.data))?;
    sender.send_to(&END.to_be_bytes(), address)?;

    let (pcm, recovered, concealed) = heard.join().map_err(|_| anyhow!("the receiver failed"))??;
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(output, spec)?;
    for sample in &pcm {
        wav.write_sample((sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16)?;
    }
    wav.finalize()?;
    eprintln!("{sequence} packets sent, {lost} lost; {recovered} frames recovered, {concealed} concealed");
    Ok(())
}

/// Decodes datagrams until the stream ends: its samples, and how many frames were recovered and concealed.
fn receive(socket: &UdpSocket, mut decoder: Decoder) -> Result<(Vec<f32>, u32, u32)> {
    socket.set_read_timeout(Some(TIMEOUT))?;
    let (mut pcm, mut next) = (Vec::new(), 0u32);
    let (mut recovered, mut concealed) = (0, 0);
    let mut datagram = [0; 1500];
    // The timeout of a stream whose end was lost comes as an error.
    while let Ok(length) = socket.recv(&mut datagram) {
        let Some((sequence, packet)) = datagram[..length].split_first_chunk() else { continue };
        let sequence = u32::from_be_bytes(*sequence);
        if sequence == END {
            break;
        }
        // One that comes late has been concealed already. A player would wait for it for a while, in a jitter buffer.
        let Some(missing) = sequence.checked_sub(next) else { continue };
        if missing > 0 {
            let found = decoder.conceal_before_data(missing, packet, &mut pcm)?;
            recovered += found;
            concealed += missing - found;
        }
        match decoder.decode(packet, &mut pcm) {
            Ok(_) => {}
            Err(error) => {
                eprintln!("packet {sequence}: {error}, concealed");
                decoder.conceal(1, &mut pcm)?;
                concealed += 1;
            }
        }
        next = sequence + 1;
    }
    Ok((pcm, recovered, concealed))
}
