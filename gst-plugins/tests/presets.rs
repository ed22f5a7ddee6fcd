//! The presets that are shipped (`gst-plugins/presets`), which `GST_PRESET_PATH` names for tests (`.cargo/config.toml`).

mod common;

use common::*;
use gst::prelude::*;

fn preset_of(element: &str) -> gst::Preset {
    init();
    let element = gst::ElementFactory::make(element).build().expect("an element");
    element.dynamic_cast::<gst::Preset>().expect("an element with presets")
}

/// The value of a property in words, as files of presets have it.
fn value_of(element: &gst::Preset, name: &str) -> String {
    element.property_value(name).serialize().expect("a value that has words").to_string()
}

/// The presets in a file: name, and property and value in words of each line.
fn presets_in(file: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut all: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for line in file.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            all.push((name.into(), Vec::new()));
        } else if let (Some((_, values)), Some((key, value))) = (all.last_mut(), line.split_once('=')) {
            values.push((key.into(), value.into()));
        }
    }
    // The first section is about the file.
    all.remove(0);
    all
}

#[test]
fn every_preset_loads_and_sets_what_its_file_says() {
    for (element, file, names) in [
        (
            "siskinaudioenc",
            include_str!("../presets/GstSiskinAudioEnc.prs"),
            ["archive", "call", "voice-message"].as_slice(),
        ),
        (
            "siskinvideoenc",
            include_str!("../presets/GstSiskinVideoEnc.prs"),
            ["call", "film", "nerv", "realtime"].as_slice(),
        ),
    ] {
        let mut found: Vec<String> =
            preset_of(element).preset_names().iter().map(ToString::to_string).collect();
        found.sort();
        assert_eq!(found, names, "{element}");
        for (name, values) in presets_in(file) {
            let element = preset_of(element);
            element.load_preset(&name).expect("a preset that loads");
            for (property, value) in values.iter().filter(|(key, _)| !key.starts_with("_meta/")) {
                let set = value_of(&element, property);
                // Numbers with a fraction may be written in more ways than one.
                let is_same = set == *value
                    || set
                        .parse::<f64>()
                        .ok()
                        .zip(value.parse().ok())
                        .is_some_and(|(a, b): (f64, f64)| a == b);
                assert!(is_same, "{name}: {property} is {set}, not {value}");
            }
            let comment = element.meta(&name, "comment").expect("a comment");
            assert!(comment.len() > 20, "{name}: {comment}");
        }
    }
}

#[test]
fn presets_of_speech_encode() {
    let pcm = voice(48_000);
    for (name, packets) in [("archive", 2), ("voice-message", 2), ("call", 100)] {
        let preset = preset_of("siskinaudioenc");
        preset.load_preset(name).expect("a preset that loads");
        let encoder = preset.dynamic_cast::<gst::Element>().expect("an element");
        let mut harness = gst_check::Harness::with_element(&encoder, Some("sink"), Some("src"));
        harness.set_src_caps_str(RAW);
        harness.play();
        harness.push(raw_buffer(&pcm, 0)).expect("a push");
        harness.push_event(gst::event::Eos::new());
        let out = pull_all(&mut harness);
        assert!(out.len() >= packets, "{name}: {} packets", out.len());
    }
}

#[test]
fn the_preset_of_video_says_the_work_unless_it_is_set() {
    init();
    for (line, refine) in
        [("", 1), ("preset=fast", 0), ("preset=medium", 1), ("preset=slow", 2), ("preset=slow refine=1", 1)]
    {
        let element = gst::parse::launch(&format!("siskinvideoenc name=enc {line}")).expect("an element");
        assert_eq!(element.property::<u32>("refine"), refine, "{line}");
    }
}
