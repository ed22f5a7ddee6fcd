//! `siskinfeatureenc` and `siskinfeaturedec`: one frame a packet, losses, damage, Matroska, RTP on loopback.

mod common;

use common::*;
use gst::prelude::*;
use siskin_core::Limits;
use siskin_core::bundle::FeatureBundle;
use siskin_core::container::{Block, FEATURES_CODEC_ID, Reader};
use siskin_core::features::{FeatureHeader, inspect};

/// So many frames of a picture with two lines of text, the larger one in the middle.
fn source_of(frames: u32, is_live: bool) -> String {
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/features/text.png");
    format!(
        "filesrc location={picture} ! pngdec ! videoconvert ! imagefreeze num-buffers={frames} is-live={is_live} \
         ! video/x-raw,format=I420,width=320,height=192,framerate=10/1"
    )
}

fn source() -> String {
    source_of(12, false)
}

/// Packets that the encoder makes of [`source`], and their caps.
fn packets(options: &str) -> (Vec<gst::Buffer>, gst::Caps) {
    let pipeline =
        launch(&format!("{} ! siskinfeatureenc {options} ! appsink name=out sync=false", source()));
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("out");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let (mut buffers, mut caps) = (Vec::new(), None);
    while let Ok(sample) = sink.pull_sample() {
        caps = sample.caps_owned();
        buffers.extend(sample.buffer_owned());
    }
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    (buffers, caps.expect("at least one packet"))
}

fn results(pipeline: &str) -> Vec<serde_json::Value> {
    let pipeline = launch(&format!("{pipeline} ! appsink name=out sync=false"));
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("out");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let mut found = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        found.push(json_of(sample.buffer().expect("a buffer")));
    }
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    found
}

fn json_of(buffer: &gst::BufferRef) -> serde_json::Value {
    let text = bytes_of(buffer);
    assert_eq!(text.last(), Some(&b'\n'));
    serde_json::from_slice(&text).expect("one JSON object")
}

/// Whether the line of text was found: a box around the middle of the frame, wider than high.
fn has_text(result: &serde_json::Value) -> bool {
    let objects = result["objects"].as_array().expect("objects");
    objects.iter().any(|object| {
        let corners = object["corners"].as_array().expect("corners");
        let ends = |axis: usize| {
            let values = corners.iter().map(|c| c[axis].as_f64().expect("a number"));
            values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)))
        };
        let ((left, right), (top, bottom)) = (ends(0), ends(1));
        left < 160.0 && right > 160.0 && right - left > 1.5 * (bottom - top)
    })
}

#[test]
fn frames_become_packets_and_those_results() {
    let (buffers, caps) = packets("");
    assert_eq!(buffers.len(), 12);
    let structure = caps.structure(0).expect("caps");
    assert_eq!(
        (structure.name().as_str(), structure.get("width")),
        ("application/x-siskin-features", Ok(320))
    );
    let bundle = FeatureBundle::find(FeatureBundle::DEFAULT).expect("the bundle");
    for (n, buffer) in buffers.iter().enumerate() {
        let data = bytes_of(buffer);
        let head = inspect(&data, &Limits::default()).expect("a packet");
        assert_eq!((head.level, head.size.height()), (bundle.manifest().default_level, 192));
        assert_eq!(buffer.pts(), Some(gst::ClockTime::from_mseconds(100 * n as u64)));
        assert!(!buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
        // A tenth of the 92,160 bytes of the frame at the most.
        assert!(data.len() < 9216, "{} bytes", data.len());
    }
    let found = results(&format!("{} ! siskinfeatureenc ! siskinfeaturedec", source()));
    assert_eq!(found.len(), 12);
    assert!(found.iter().all(has_text), "{found:?}");
    assert_eq!((found[3]["pts_ns"].as_u64(), found[3]["width"].as_u64()), (Some(300_000_000), Some(320)));
}

#[test]
fn levels_trade_bytes() {
    let size = |options: &str| packets(options).0.iter().map(|b| b.size()).sum::<usize>();
    let (fine, coarse) = (size("level=0"), size("level=5"));
    assert!(coarse * 2 < fine, "{fine} and {coarse} bytes");
}

#[test]
fn lost_and_damaged_packets_cost_their_own_frames() {
    let (buffers, caps) = packets("");
    let mut harness = harness("siskinfeaturedec", &caps.to_string());
    let bus = bus_of(&harness);
    let mut expected = Vec::new();
    for (n, buffer) in buffers.iter().enumerate() {
        match n {
            // Lost.
            2 | 7 => continue,
            // Damaged: the head, the end, all of it.
            4 | 5 | 9 => {
                let mut data = bytes_of(buffer);
                let (start, end) = [(0, 1), (data.len() - 2, data.len()), (5, data.len())][n % 3];
                data[start..end].iter_mut().for_each(|b| *b = !*b);
                let mut damaged = gst::Buffer::from_slice(data);
                damaged.make_mut().set_pts(buffer.pts());
                harness.push(damaged).expect("damage is no error");
            }
            _ => {
                expected.push(buffer.pts());
                harness.push(buffer.clone()).expect("a push");
            }
        }
    }
    let found = pull_all(&mut harness);
    assert_eq!(found.iter().map(|b| b.pts()).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(|b| has_text(&json_of(b))));
    let stats = harness.element().expect("an element").property::<gst::Structure>("stats");
    assert_eq!((stats.get("frames"), stats.get("broken-packets")), (Ok(7u64), Ok(3u64)));
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_some(), "a warning");
}

#[test]
fn a_map_has_the_size_of_the_frame_and_regions() {
    let text = format!(
        "{} ! siskinfeatureenc ! siskinfeaturedec ! video/x-raw,format=GRAY8 ! appsink name=out sync=false",
        source()
    );
    let pipeline = launch(&text);
    let sink = pipeline.by_name("out").and_downcast::<gst_app::AppSink>().expect("out");
    pipeline.set_state(gst::State::Playing).expect("it plays");
    let sample = sink.pull_sample().expect("a map");
    let info = gst_video::VideoInfo::from_caps(sample.caps().expect("caps")).expect("video");
    assert_eq!((info.width(), info.height()), (320, 192));
    let buffer = sample.buffer().expect("a buffer");
    let data = bytes_of(buffer);
    assert_eq!(data.len(), info.size());
    assert!(data.iter().any(|&v| v > 200) && data.iter().filter(|&&v| v < 50).count() > data.len() / 2);
    let regions: Vec<_> = buffer.iter_meta::<gst_video::VideoRegionOfInterestMeta>().collect();
    assert!(!regions.is_empty() && regions[0].roi_type() == "text");
    let (x, y, w, h) = regions[0].rect();
    assert!(w > h && x + w <= 320 && y + h <= 192, "{:?}", regions[0].rect());
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
}

#[test]
fn a_file_holds_features_and_stock_elements_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mkv");
    let pipeline = launch(&format!(
        "{} ! siskinfeatureenc ! siskinmux ! filesink location={}",
        source(),
        path.display()
    ));
    assert_eq!(play(&pipeline).error, None);
    let mut reader = Reader::open(std::fs::File::open(&path).expect("a file")).expect("Matroska");
    let track = reader.tracks().first().expect("a track").clone();
    assert_eq!((track.codec_id.as_str(), track.is_video), (FEATURES_CODEC_ID, true));
    let (header, _) = FeatureHeader::parse(&track.codec_private, &Limits::default()).expect("a header");
    assert_eq!((header.size.width(), header.frame_rate), (320, (10, 1)));
    let (mut block, mut sizes) = (Block::default(), Vec::new());
    while reader.next_block(&mut block).expect("a block") {
        sizes.push(block.data.len());
    }
    assert_eq!(sizes, packets("").0.iter().map(|b| b.size()).collect::<Vec<_>>());
    let found = results(&format!("filesrc location={} ! matroskademux ! siskinfeaturedec", path.display()));
    assert_eq!(found.len(), 12);
    assert!(found.iter().all(has_text));
}

/// docs/features.md: device, a network that loses packets, server.
#[test]
fn a_device_reaches_a_server_through_losses_on_loopback() {
    init();
    // A port that is free now.
    let port = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port").port();
    let server = launch(&format!(
        "udpsrc address=127.0.0.1 port={port} \
         caps=application/x-rtp,media=application,clock-rate=90000,encoding-name=X-GST,payload=96 \
         ! rtpjitterbuffer latency=200 ! rtpgstdepay ! siskinfeaturedec ! appsink name=out sync=false"
    ));
    let sink = server.by_name("out").and_downcast::<gst_app::AppSink>().expect("out");
    server.set_state(gst::State::Playing).expect("it listens");
    // One in four payloads is lost. Caps come again and again, since the payload that had them may be the lost one.
    let source = source_of(60, true);
    let device = launch(&format!(
        "{source} ! siskinfeatureenc ! rtpgstpay config-interval=1 ! identity drop-probability=0.25 \
         ! udpsink host=127.0.0.1 port={port} sync=false"
    ));
    assert_eq!(play(&device).error, None);
    let mut found = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(3)) {
        found.push(json_of(sample.buffer().expect("a buffer")));
    }
    server.set_state(gst::State::Null).expect("stopping never fails");
    // 45 of 60 on average; what is lost before the first caps is lost, too.
    assert!((15..60).contains(&found.len()), "{} of 60 frames", found.len());
    assert!(found.iter().all(has_text));
}

fn error_text(message: Option<gst::Message>) -> String {
    match message.as_ref().map(|m| m.view()) {
        Some(gst::MessageView::Error(error)) => error.error().to_string(),
        _ => "no error".into(),
    }
}

#[test]
fn a_stream_of_another_bundle_and_a_level_that_is_not_there_are_errors() {
    let (buffers, caps) = packets("");
    let structure = caps.structure(0).expect("caps");
    let bytes = bytes_of(&structure.get::<gst::Buffer>("codec_data").expect("a header"));
    let (mut header, _) = FeatureHeader::parse(&bytes, &Limits::default()).expect("a header");
    header.bundle.0 = [0xab; 8];
    let foreign = gst::Caps::builder("application/x-siskin-features")
        .field("width", 320)
        .field("height", 192)
        .field("codec_data", gst::Buffer::from_slice(header.to_bytes()))
        .build();
    let mut harness = harness("siskinfeaturedec", &foreign.to_string());
    let bus = bus_of(&harness);
    assert!(harness.push(buffers[0].clone()).is_err());
    let text = error_text(bus.pop_filtered(&[gst::MessageType::Error]));
    assert!(text.contains("abababababababab"), "{text}");

    let pipeline = launch(&format!("{} ! siskinfeatureenc level=30 ! fakesink", source()));
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let bus = pipeline.bus().expect("a bus");
    let error = bus.timed_pop_filtered(gst::ClockTime::from_seconds(30), &[gst::MessageType::Error]);
    let text = error_text(error);
    assert!(text.contains("level is 30"), "{text}");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
}
