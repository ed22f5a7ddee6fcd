//! Old names of properties: they still work, and warn.

mod common;

use std::sync::{Arc, Mutex};

use common::*;
use gst::prelude::*;

/// Warnings of the plugin's elements in the debug log.
fn collect_warnings() -> Arc<Mutex<Vec<String>>> {
    init();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let kept = warnings.clone();
    gst::log::set_threshold_from_string("*siskin*:2", true);
    gst::log::add_log_function(move |category, level, _, _, _, _, message| {
        if level == gst::DebugLevel::Warning && category.name().contains("siskin") {
            let text = message.get().map(|text| text.to_string()).unwrap_or_default();
            kept.lock().expect("no panic while it is locked").push(text);
        }
    });
    warnings
}

/// The packets that an element makes of the same input.
fn packets_of(element: &str, input: &[gst::Buffer], caps: &str) -> Vec<Vec<u8>> {
    let mut harness = harness(element, caps);
    for buffer in input {
        harness.push(buffer.clone()).expect("a push");
    }
    harness.push_event(gst::event::Eos::new());
    pull_all(&mut harness).iter().map(|buffer| bytes_of(buffer)).collect()
}

/// Frames of a moving ramp, in I420.
fn frames() -> Vec<gst::Buffer> {
    let frame = |n: u64| {
        let data: Vec<u8> = (0..32 * 48).map(|i| (40 + (i + 3 * n) % 32 * 4) as u8).collect();
        let mut buffer = gst::Buffer::from_slice(data);
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(40 * n));
        buffer
    };
    (0..6).map(frame).collect()
}

// One test for all names, as the debug log belongs to the process.
#[test]
fn old_names_give_the_same_bytes_and_warn() {
    let warnings = collect_warnings();
    let taken = || std::mem::take(&mut *warnings.lock().expect("no panic while it is locked"));
    let speech = [raw_buffer(&voice(9600), 0)];
    let coded: Vec<_> = encode(&voice(9600), 1, None).iter().map(Coded::buffer).collect();
    let coded_caps = stream_caps(&header()).to_string();
    let video = "video/x-raw,format=I420,width=32,height=32,framerate=25/1";
    let rows: [(&str, &str, &str, &[gst::Buffer], &str); 8] = [
        ("siskinaudioenc codebooks=3", "siskinaudioenc stages=3", "codebooks", &speech, RAW),
        ("siskinaudioenc frame-size=4", "siskinaudioenc frames-per-packet=4", "frame-size", &speech, RAW),
        (
            "siskinaudioenc frames-per-packet=1 redundancy=1 redundancy-codebooks=3",
            "siskinaudioenc frames-per-packet=1 redundancy=1 redundancy-stages=3",
            "redundancy-codebooks",
            &speech,
            RAW,
        ),
        (
            "rtpsiskinaudiopay timestamp-offset=0 seqnum-offset=0 ssrc=1 redundancy=2 redundancy-codebooks=1",
            "rtpsiskinaudiopay timestamp-offset=0 seqnum-offset=0 ssrc=1 redundancy=2 redundancy-stages=1",
            "redundancy-codebooks",
            &coded,
            &coded_caps,
        ),
        ("siskinvideoenc steps=3", "siskinvideoenc refine=3", "steps", &frames(), video),
        ("siskinvideoenc gop-size=3", "siskinvideoenc keyframe-interval=3", "gop-size", &frames(), video),
        (
            "siskinvideoenc steps=4 preset=nerv-fast threads=1",
            "siskinvideoenc preset=nerv-fast epochs=4 threads=1",
            "steps",
            &frames(),
            video,
        ),
        // What release 0.2 did without any property is a preset now.
        (
            "siskinvideoenc preset=nerv-fast gop-size=2 steps=4 threads=1",
            "siskinvideoenc preset=nerv-fast gop-size=2 epochs=4 threads=1",
            "steps",
            &frames(),
            video,
        ),
    ];
    for (old, new, name, input, caps) in rows {
        let expected = packets_of(new, input, caps);
        assert!(!expected.is_empty(), "{new}");
        assert_eq!(taken(), Vec::<String>::new(), "{new}");
        assert!(packets_of(old, input, caps) == expected, "{old}");
        let said = taken();
        let start = format!("{name} is the old name of ");
        assert!(said.len() == 1 && said[0].starts_with(&start), "{old}: {said:?}");
    }
    assert!(
        packets_of("siskinaudioenc stages=3", &speech, RAW) != packets_of("siskinaudioenc", &speech, RAW),
        "the properties matter"
    );
    for (element, old, new) in [
        ("siskintokensink", "codebooks", "stages"),
        ("siskintokensrc", "codebooks", "stages"),
        ("siskintokensrc", "frame-size", "frames-per-packet"),
    ] {
        let element = gst::ElementFactory::make(element).build().expect("an element");
        element.set_property(old, 5u32);
        assert_eq!((element.property::<u32>(new), element.property::<u32>(old)), (5, 5));
        let spec = element.find_property(old).expect("it is there");
        assert!(spec.flags().contains(gst::glib::ParamFlags::DEPRECATED));
        assert_eq!(taken().len(), 1, "{old}");
    }
}
