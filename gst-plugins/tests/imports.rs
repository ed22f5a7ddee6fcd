//! Bundles of published codecs in the elements.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use gst::prelude::*;
use siskin_core::import::Kind;
use siskin_core::import::testing::{Tensors, small_dac, small_encodec, small_encodec_stereo, small_snac};

/// The codecs and their bundles, in a folder that is gone with the first value.
fn bundles() -> (tempfile::TempDir, Vec<(Kind, PathBuf)>) {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |kind: Kind, tensors: Tensors| {
        let path = folder.path().join(kind.name());
        tensors.import(kind, &path).expect("a bundle");
        (kind, path)
    };
    let made = vec![
        make(Kind::Dac, small_dac()),
        make(Kind::Snac, small_snac()),
        make(Kind::Encodec, small_encodec()),
    ];
    (folder, made)
}

/// 40,000 samples of a tone through `elements`.
fn hear(elements: &str) -> Vec<f32> {
    let (sink, ear) = ear();
    let pipeline = launch(&format!(
        "audiotestsrc freq=300 samplesperbuffer=1000 num-buffers=40 volume=.3 \
         ! audio/x-raw,format=F32LE,rate=24000,channels=1 ! {elements} ! identity name=last"
    ));
    pipeline.add(&sink).expect("a sink");
    pipeline.by_name("last").expect("the last").link(&sink).expect("a link");
    assert_eq!(play(&pipeline).error, None, "{elements}");
    heard(&ear).pcm
}

fn model(path: &Path) -> String {
    format!("model={}", path.display())
}

#[test]
fn files_live_packets_and_rtp_give_the_same_samples() {
    let (_folder, bundles) = bundles();
    for (kind, path) in &bundles {
        let model = model(path);
        let packets = hear(&format!("siskinaudioenc {model} ! siskinaudiodec {model}"));
        assert_eq!(packets.len(), 40_000, "{kind:?}");
        assert!(packets.iter().any(|x| x.abs() > 1e-3), "{kind:?} is heard");
        let parsed = hear(&format!(
            "siskinaudioenc {model} ! siskinmux ! matroskademux ! siskinaudioparse ! siskinaudiodec {model}"
        ));
        assert_same(&parsed, &packets);
        let rtp = hear(&format!(
            "siskinaudioenc {model} frames-per-packet=1 ! rtpsiskinaudiopay ! rtpsiskinaudiodepay {model} \
             ! siskinaudiodec {model}"
        ));
        // The payload has no place for the end of a stream: what fills its last frame is heard too.
        assert!(rtp.len() >= 40_000, "{kind:?}: {}", rtp.len());
        let live = hear(&format!("siskinaudioenc {model} frames-per-packet=1 ! siskinaudiodec {model}"));
        assert_eq!(live.len(), 40_000, "{kind:?}");
        assert_same(&rtp[..40_000], &live);
        if *kind != Kind::Encodec {
            // EnCodec's live streams begin from silence, its files mirrored.
            let off = live.iter().zip(&packets).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Files run blocks of frames, which round otherwise.
            assert!(off < 2e-6, "{kind:?}: {off}");
        }
    }
}

/// The bundle of a codec of segments in stereo.
fn stereo_bundle() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stereo");
    small_encodec_stereo().import(Kind::Encodec, &path).expect("a bundle");
    (folder, model(&path))
}

/// 120,000 samples of a tone, louder on the right, through `elements`.
fn hear_stereo(elements: &str) -> Vec<f32> {
    let (sink, ear) = ear();
    let caps = "audio/x-raw,format=F32LE,rate=48000,channels=2".parse::<gst::Caps>();
    sink.set_caps(Some(&caps.expect("caps")));
    let pipeline = launch(&format!(
        "audiotestsrc freq=300 samplesperbuffer=3000 num-buffers=40 volume=.3 \
         ! audio/x-raw,format=F32LE,rate=48000,channels=2 ! audiopanorama panorama=.5 method=simple \
         ! {elements} ! identity name=last"
    ));
    pipeline.add(&sink).expect("a sink");
    pipeline.by_name("last").expect("the last").link(&sink).expect("a link");
    assert_eq!(play(&pipeline).error, None, "{elements}");
    heard(&ear).pcm
}

#[test]
fn segments_in_stereo_come_through_files_and_rtp_as_they_were() {
    let (_folder, model) = stereo_bundle();
    let packets = hear_stereo(&format!("siskinaudioenc {model} ! siskinaudiodec {model}"));
    assert_eq!(packets.len(), 2 * 120_000);
    let side = |pcm: &[f32], channel: usize| pcm.iter().skip(channel).step_by(2).copied().collect::<Vec<_>>();
    assert_ne!(side(&packets, 0), side(&packets, 1), "two channels");
    assert!(packets.iter().any(|x| x.abs() > 1e-3));
    let parsed = hear_stereo(&format!(
        "siskinaudioenc {model} ! siskinmux ! matroskademux ! siskinaudioparse ! siskinaudiodec {model}"
    ));
    assert_same(&parsed, &packets);
    // A payload of 400 bytes holds no segment, whose parts are put together again; its end trim comes with it.
    let rtp = hear_stereo(&format!(
        "siskinaudioenc {model} ! rtpsiskinaudiopay mtu=400 ! rtpsiskinaudiodepay {model} ! siskinaudiodec {model}"
    ));
    assert_same(&rtp, &packets);
    let described = hear_stereo(&format!(
        "siskinaudioenc {model} ! rtpsiskinaudiopay ! application/x-rtp,encoding-params=(string)2 \
         ! rtpsiskinaudiodepay {model} ! siskinaudiodec {model}"
    ));
    assert_same(&described, &packets);
}

#[test]
fn a_lost_packet_is_concealed_in_its_length() {
    let (_folder, bundles) = bundles();
    for (kind, path) in &bundles {
        let model = model(path);
        let heard = hear(&format!(
            "siskinaudioenc {model} frames-per-packet=2 ! identity drop-probability=.2 \
             ! siskinaudiodec {model}"
        ));
        // The first packet may be lost, and with it its samples; within the stream time goes on.
        assert!(heard.len() > 30_000, "{kind:?}: {}", heard.len());
        assert!(heard.iter().all(|x| x.is_finite()));
    }
}
