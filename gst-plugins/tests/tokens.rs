//! `siskintokensink` and `siskintokensrc`, and the text and token tracks of `siskinmux`.

mod common;

use std::fs::File;
use std::path::Path;

use common::*;
use gst::prelude::*;
use siskin_core::container::{Block, Reader, TEXT_CODEC_ID, TOKENS_CODEC_ID};
use siskin_core::tokens::{FileFormat, Format, Packer, TokenFile, codes_from_packet};

/// Frames of codes that the core's encoder makes of samples, `[T, K]`, and K.
fn codes(pcm: &[f32], stages: Option<u8>) -> (Vec<u16>, usize) {
    let (mut out, mut count) = (Vec::new(), 0);
    for packet in encode(pcm, 1, stages) {
        let info = codes_from_packet(&packet.data, &header(), None, &mut out).expect("a packet of ours");
        count = header().codes_per_frame(info.stages);
    }
    (out, count)
}

fn tokens(layout: &str, frames: &[u16], codebooks: usize) -> Vec<i64> {
    let stages = codebooks / usize::from(header().groups);
    let mut packer = Packer::new(Format::from_bundle(&bundle(), stages as u8, layout).expect("a layout"));
    let mut out = Vec::new();
    for frame in frames.chunks_exact(codebooks) {
        packer.push_frame(frame, &mut out).expect("codes of ours");
    }
    packer.finish_stream(true, &mut out);
    out
}

fn buffer(tokens: &[i64]) -> gst::Buffer {
    init();
    gst::Buffer::from_slice(tokens.iter().flat_map(|&t| (t as i32).to_le_bytes()).collect::<Vec<u8>>())
}

fn pull(sink: &gst::Element) -> Option<gst::Sample> {
    sink.emit_by_name::<Option<gst::Sample>>("pull-tokens", &[&gst::ClockTime::from_seconds(20).nseconds()])
}

fn read(path: &Path) -> TokenFile {
    let format = FileFormat::from_path(path).expect("a token file's name");
    TokenFile::from_bytes(format, &std::fs::read(path).expect("a file")).expect("a token file")
}

#[test]
fn samples_become_tokens_for_the_application() {
    let pcm = voice(20_000);
    let (frames, codebooks) = codes(&pcm, None);
    for layout in ["parallel", "delayed", "flat"] {
        let text =
            format!("appsrc name=in caps={RAW} format=time ! siskintokensink name=out layout={layout}");
        let pipeline = launch(&text);
        let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("in");
        source.set_max_bytes(0);
        for (n, piece) in pcm.chunks(700).enumerate() {
            source.push_buffer(raw_buffer(piece, n as u64 * 700)).expect("a push");
        }
        source.end_of_stream().expect("an end");
        let sink = pipeline.by_name("out").expect("out");
        pipeline.set_state(gst::State::Playing).expect("it plays");
        let mut found = Vec::new();
        while let Some(sample) = pull(&sink) {
            let caps = sample.caps().expect("caps");
            let structure = caps.structure(0).expect("a structure");
            assert_eq!(structure.name(), "application/x-siskin-tokens");
            assert_eq!(structure.get("codebooks"), Ok(codebooks as i32));
            let bytes = bytes_of(sample.buffer().expect("a buffer"));
            found.extend(
                bytes.chunks_exact(4).map(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
            );
        }
        pipeline.set_state(gst::State::Null).expect("stopping never fails");
        assert!(found == tokens(layout, &frames, codebooks), "{layout}: {} tokens", found.len());
    }
}

#[test]
fn a_file_holds_the_codes_of_samples_and_of_packets() {
    let folder = tempfile::tempdir().expect("a folder");
    let pcm = voice(30_000);
    let (frames, codebooks) = codes(&pcm, None);
    // A frame a packet, whose codes are the nearest; those of range-coded packets are chosen by their bits too.
    let (_keep, coded) = write_file(&pcm, "siskinaudioenc frames-per-packet=1", "siskinmux");
    let path = |name: &str| folder.path().join(name);
    for (name, source) in [
        ("a.safetensors", "decodebin ! audioconvert ! audioresample"),
        ("b.jsonl", "matroskademux ! siskinaudioparse"),
    ] {
        let text = format!(
            "filesrc location={} ! {source} ! siskintokensink location={}",
            coded.display(),
            path(name).display()
        );
        assert_eq!(play(&launch(&text)).error, None);
        let file = read(&path(name));
        assert_eq!((file.codebooks, file.frames), (codebooks, frames.len() / codebooks), "{name}");
        assert_eq!(file.meta.samples, Some(30_000));
        if name.starts_with('b') {
            assert!(file.to_frames() == frames, "the codes themselves");
        }
    }
    let text =
        format!("audiotestsrc num-buffers=2 ! {RAW} ! siskintokensink location={}", path("c.pkl").display());
    let error = play(&launch(&text)).error.expect("an error");
    assert!(error.contains("allowed: .safetensors"), "{error}");
}

#[test]
fn a_token_file_becomes_the_coded_stream_that_it_came_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.safetensors");
    let pcm = voice(30_001);
    let (_keep, coded) = write_file(&pcm, "siskinaudioenc", "siskinmux");
    let text = format!(
        "filesrc location={} ! matroskademux ! siskinaudioparse ! siskintokensink location={}",
        coded.display(),
        path.display()
    );
    assert_eq!(play(&launch(&text)).error, None);
    let (ear, heard_pcm) = ear();
    let pipeline = launch(&format!("siskintokensrc location={} ! siskinaudiodec name=last", path.display()));
    pipeline.add(&ear).expect("a new element");
    pipeline.by_name("last").expect("last").link(&ear).expect("samples");
    assert_eq!(play(&pipeline).error, None);
    assert_same(&heard(&heard_pcm).pcm, &decode_coded(&encode(&pcm, 50, None)));
}

/// A pipeline from pushed tokens to heard samples.
fn speaking(properties: &str) -> (gst::Pipeline, gst::Element, std::sync::Arc<std::sync::Mutex<Heard>>) {
    let (ear, heard_pcm) = ear();
    let pipeline = launch(&format!("siskintokensrc name=src {properties} ! siskinaudiodec name=last"));
    pipeline.add(&ear).expect("a new element");
    pipeline.by_name("last").expect("last").link(&ear).expect("samples");
    let source = pipeline.by_name("src").expect("src");
    (pipeline, source, heard_pcm)
}

fn push(source: &gst::Element, signal: &str, buffer: &gst::Buffer) -> gst::FlowReturn {
    source.emit_by_name::<gst::FlowReturn>(signal, &[buffer])
}

#[track_caller]
fn tell(source: &gst::Element, signal: &str) {
    assert_eq!(source.emit_by_name::<gst::FlowReturn>(signal, &[]), gst::FlowReturn::Ok);
}

#[test]
fn pushed_tokens_are_heard_in_any_pieces() {
    let pcm = voice(20_000);
    let (frames, codebooks) = codes(&pcm, None);
    let expected = decode_coded(&encode(&pcm, 1, None));
    for (layout, cut) in [("parallel", 1000), ("delayed", 7), ("flat", 1)] {
        let (pipeline, source, heard_pcm) = speaking(&format!("layout={layout}"));
        pipeline.set_state(gst::State::Playing).expect("it plays");
        for piece in tokens(layout, &frames, codebooks).chunks(cut) {
            assert_eq!(push(&source, "push-tokens", &buffer(piece)), gst::FlowReturn::Ok);
        }
        tell(&source, "end-of-stream");
        assert_eq!(play(&pipeline).error, None);
        let found = heard(&heard_pcm).pcm;
        assert_same(&found[..expected.len()], &expected);
        assert!(found.len() - expected.len() < 480, "whole frames: nobody said how long it is");
        assert_eq!(push(&source, "push-tokens", &buffer(&[1])), gst::FlowReturn::Flushing);
    }
}

#[test]
fn bad_tokens_are_refused_or_left_out_and_nothing_else_is_lost() {
    let pcm = voice(20_000);
    let (frames, codebooks) = codes(&pcm, None);
    let right = tokens("flat", &frames, codebooks);
    let whole = right.len() / codebooks * 480 - 240;
    let mut wrong = right.clone();
    wrong[10 * codebooks + 1] = 1 << 30;
    wrong.remove(20 * codebooks + 2);
    let (pipeline, source, heard_pcm) = speaking("layout=flat on-bad-token=conceal");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    assert_eq!(push(&source, "push-tokens", &buffer(&wrong)), gst::FlowReturn::Ok);
    tell(&source, "end-of-stream");
    let said = play_on(&pipeline);
    assert_eq!(said.error, None);
    assert!(said.warnings.iter().any(|w| w.contains("token ")), "{said:?}");
    let stats = source.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert_eq!((stats.get::<u64>("lost"), heard(&heard_pcm).pcm.len()), (Ok(2), whole));

    let (pipeline, source, heard_pcm) = speaking("layout=flat");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    assert_eq!(push(&source, "push-tokens", &buffer(&right[..100])), gst::FlowReturn::Ok);
    for bad in [buffer(&[1 << 30]), gst::Buffer::from_slice([1, 2, 3])] {
        assert_eq!(push(&source, "push-tokens", &bad), gst::FlowReturn::Error);
    }
    assert_eq!(push(&source, "push-latents", &gst::Buffer::from_slice([0; 12])), gst::FlowReturn::Error);
    assert_eq!(push(&source, "push-tokens", &buffer(&right[100..])), gst::FlowReturn::Ok);
    tell(&source, "end-of-stream");
    let said = play(&pipeline);
    assert_eq!((said.error, said.warnings.len()), (None, 3));
    let expected = decode_coded(&encode(&pcm, 1, None));
    assert_same(&heard(&heard_pcm).pcm[..expected.len()], &expected);
}

#[test]
fn a_listener_cuts_in() {
    let (frames, codebooks) = codes(&voice(20_000), None);
    let row = tokens("parallel", &frames, codebooks);
    let (pipeline, source, heard_pcm) = speaking("");
    // Nothing is sent before it plays.
    pipeline.set_state(gst::State::Playing).expect("it plays");
    assert_eq!(push(&source, "push-tokens", &buffer(&row[..codebooks * 5 + 3])), gst::FlowReturn::Ok);
    tell(&source, "clear");
    assert_eq!(push(&source, "push-tokens", &buffer(&row)), gst::FlowReturn::Ok);
    tell(&source, "end-of-stream");
    assert_eq!(play(&pipeline).error, None);
    let found = heard(&heard_pcm).pcm;
    let expected = decode_coded(&encode(&voice(20_000), 1, None));
    // However much of the first was sent, the second is whole and follows it as a stream of its own.
    let second = frames.len() / codebooks * 480 - 240;
    let start = found.len() - second;
    assert!(start <= 5 * 480, "{start} samples of the first");
    assert_same(&found[start..start + expected.len()], &expected);
}

#[test]
fn latents_are_heard() {
    let (pipeline, source, heard_pcm) = speaking("");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let dim = bundle().manifest().latent_dim;
    let latents: Vec<u8> = (0..10 * dim).flat_map(|i| ((i as f32 * 0.37).sin()).to_ne_bytes()).collect();
    assert_eq!(push(&source, "push-latents", &gst::Buffer::from_slice(latents)), gst::FlowReturn::Ok);
    tell(&source, "end-of-stream");
    assert_eq!(play(&pipeline).error, None);
    let pcm = heard(&heard_pcm).pcm;
    assert_eq!(pcm.len(), 10 * 480 - 240);
    assert!(pcm.iter().any(|x| x.abs() > 1e-4));
}

/// Words with their times in milliseconds.
const WORDS: [(&str, u64, u64); 3] = [("so", 0, 180), ("it < goes", 200, 1900), ("on", 2200, 300)];

fn with_words(path: &Path, muxer: &str) {
    let pipeline = launch(&format!(
        "appsrc name=words caps=\"text/x-raw,format=utf8\" format=time ! mux.text_0 \
         appsrc name=tokens caps=\"application/x-siskin-tokens,layout=parallel,codebooks=2,codebook-size=16\" \
         format=time ! mux.tokens_0 \
         audiotestsrc num-buffers=75 samplesperbuffer=960 ! {RAW} ! siskinaudioenc ! {muxer} name=mux ! \
         filesink location={}",
        path.display()
    ));
    let source = |name: &str| pipeline.by_name(name).and_downcast::<gst_app::AppSrc>().expect("in");
    let stamped = |mut buffer: gst::Buffer, start: u64, length: u64| {
        let edit = buffer.make_mut();
        edit.set_pts(gst::ClockTime::from_mseconds(start));
        edit.set_duration(gst::ClockTime::from_mseconds(length));
        buffer
    };
    for (word, start, length) in WORDS {
        let data = gst::Buffer::from_slice(word.as_bytes());
        source("words").push_buffer(stamped(data, start, length)).expect("a push");
        source("tokens").push_buffer(stamped(buffer(&[3, 4]), start, 20)).expect("a push");
    }
    for name in ["words", "tokens"] {
        source(name).end_of_stream().expect("an end");
    }
    assert_eq!(play(&pipeline).error, None);
}

#[test]
fn words_and_tokens_are_tracks() {
    for muxer in ["siskinmux", "siskinmux streamable=true"] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.mka");
        with_words(&path, muxer);
        let mut reader = Reader::open(File::open(&path).expect("the file")).expect("a Matroska file");
        let number = |id: &str| reader.tracks().iter().find(|t| t.codec_id == id).map(|t| t.number);
        let (text, tokens) = (number(TEXT_CODEC_ID).expect("text"), number(TOKENS_CODEC_ID).expect("tokens"));
        let private = reader.tracks().iter().find(|t| t.number == tokens).map(|t| t.codec_private.clone());
        let described = String::from_utf8(private.expect("a track")).expect("JSON");
        assert!(
            described.contains("\"layout\":\"parallel\"") && described.contains("\"codebooks\":2"),
            "{described}"
        );
        let (mut words, mut pairs, mut block) = (Vec::new(), 0, Block::default());
        while reader.next_block(&mut block).expect("a whole file") {
            if block.track == text {
                let (start, length) =
                    (block.pts_ns / 1_000_000, block.duration_ns.expect("it lasts") / 1_000_000);
                words.push((String::from_utf8(block.data.clone()).expect("UTF-8"), start, length));
            }
            pairs += usize::from(block.track == tokens && block.data == [3, 0, 0, 0, 4, 0, 0, 0]);
        }
        let expected: Vec<_> = WORDS.iter().map(|(w, s, l)| ((*w).to_owned(), *s, *l)).collect();
        assert_eq!((words, pairs), (expected, 3), "{muxer}");
    }
}

#[test]
fn the_stock_demuxer_gives_words_and_audio() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mka");
    with_words(&path, "siskinmux");
    let pipeline = launch(&format!(
        "filesrc location={} ! matroskademux name=d d.subtitle_0 ! queue ! appsink name=text sync=false \
         d.audio_0 ! queue ! siskinaudioparse ! siskinaudiodec ! fakesink sync=false",
        path.display()
    ));
    let sink = pipeline.by_name("text").and_downcast::<gst_app::AppSink>().expect("text");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let mut words = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let (buffer, caps) = (sample.buffer().expect("a buffer"), sample.caps().expect("caps"));
        assert_eq!(caps.structure(0).map(|s| s.name().as_str()), Some("text/x-raw"));
        let text = String::from_utf8(bytes_of(buffer)).expect("UTF-8").trim_end_matches('\0').to_owned();
        let ms = |t: Option<gst::ClockTime>| t.map(gst::ClockTime::mseconds).expect("a time");
        words.push((text.replace("&lt;", "<"), ms(buffer.pts()), ms(buffer.duration())));
    }
    let said = play_on(&pipeline);
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    let expected: Vec<_> = WORDS.iter().map(|(w, s, l)| ((*w).to_owned(), *s, *l)).collect();
    assert_eq!((words, said.error), (expected, None));
}
