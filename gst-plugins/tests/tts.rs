//! `siskintts` with the toy bundle of `testdata`; espeak-ng must be installed.

mod common;

use common::*;
use gst::prelude::*;
use gst_check::Harness;

const TEXT: &str = "text/x-raw,format=utf8";

fn toy() -> String {
    format!("{}/../testdata/voices/toy", env!("CARGO_MANIFEST_DIR"))
}

fn harness(properties: &str) -> Harness {
    common::harness(&format!("siskintts model={} {properties}", toy()), TEXT)
}

fn say(harness: &mut Harness, pieces: &[&str]) -> Vec<gst::Buffer> {
    for piece in pieces {
        harness.push(gst::Buffer::from_slice(piece.as_bytes().to_vec())).expect("a push");
    }
    harness.push_event(gst::event::Eos::new());
    pull_all(harness)
}

fn pcm_of(buffers: &[gst::Buffer]) -> Vec<f32> {
    buffers.iter().flat_map(|b| samples_of(b)).collect()
}

fn stat(harness: &Harness, name: &str) -> u64 {
    let stats = harness.element().expect("an element").property::<gst::Structure>("stats");
    stats.get(name).expect("a counter of that name")
}

#[test]
fn cuts_of_the_text_do_not_matter_and_the_sound_has_no_holes() {
    let whole = say(&mut harness(""), &["Hello bird. How are you? Fine"]);
    let pcm = pcm_of(&whole);
    assert!(pcm.iter().any(|x| x.abs() > 0.1));
    assert_eq!(pcm_of(&say(&mut harness(""), &["Hel", "lo bird. How", " are y", "ou?", " Fi", "ne"])), pcm);
    let mut next = gst::ClockTime::ZERO;
    for buffer in &whole {
        assert_eq!(buffer.pts(), Some(next));
        next += buffer.duration().expect("a duration");
    }
}

#[test]
fn voice_and_speed_are_properties() {
    let length = |properties: &str| pcm_of(&say(&mut harness(properties), &["A bird."])).len();
    assert_eq!(length("speed=0.5"), 4 * length("speed=2"));
    assert_ne!(
        pcm_of(&say(&mut harness("voice=high"), &["A bird."])),
        pcm_of(&say(&mut harness(""), &["A bird."]))
    );
}

#[test]
fn what_cannot_be_spoken_is_counted_and_the_rest_is_spoken() {
    let mut harness = harness("");
    let spoken = pcm_of(&say(&mut harness, &["?!\n\n\u{7}One\u{1b} bird.\n\n...\n\n"]));
    assert_eq!(spoken, pcm_of(&say(&mut self::harness(""), &["One bird."])));
    assert_eq!((stat(&harness, "sentences"), stat(&harness, "skipped-bytes")), (1, 2));
    assert_eq!((stat(&harness, "words"), stat(&harness, "sentences-without-sound")), (2, 2));
}

#[test]
fn a_text_of_nothing_ends_well() {
    let mut harness = harness("");
    assert!(say(&mut harness, &["", " "]).is_empty());
    let mut events = std::iter::from_fn(|| harness.try_pull_event());
    assert!(events.any(|e| e.type_() == gst::EventType::Eos));
}

#[test]
fn subtitles_are_spoken_when_they_are_shown() {
    let mut harness = harness("");
    let mut buffer = gst::Buffer::from_slice(b"A bird".to_vec());
    let shown = gst::ClockTime::from_seconds(5);
    {
        let buffer = buffer.get_mut().expect("one owner");
        buffer.set_pts(shown);
        buffer.set_duration(gst::ClockTime::SECOND);
    }
    harness.push(buffer).expect("a push");
    let first = harness.pull().expect("spoken at once");
    assert_eq!(first.pts(), Some(shown));
    assert!(first.flags().contains(gst::BufferFlags::DISCONT));
}

#[test]
fn words_have_a_pad_and_the_sound_is_coded() {
    init();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.mka");
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=in format=time caps={TEXT} ! siskintts name=t model={} t.src ! queue ! siskinaudioenc \
         ! siskinmux ! filesink location={} t.words ! queue ! appsink name=words sync=false",
        toy(),
        file.display()
    ))
    .expect("a pipeline")
    .downcast::<gst::Pipeline>()
    .expect("a pipeline");
    let element = |name: &str| pipeline.by_name(name).expect("an element of this name");
    pipeline.set_state(gst::State::Playing).expect("playing");
    let input = element("in");
    let text = gst::Buffer::from_slice(b"The bird sings. Loudly!".to_vec());
    let _: gst::FlowReturn = input.emit_by_name("push-buffer", &[&text]);
    let _: gst::FlowReturn = input.emit_by_name("end-of-stream", &[]);
    let mut words = Vec::new();
    while let Some(sample) = element("words").emit_by_name::<Option<gst::Sample>>("pull-sample", &[]) {
        let buffer = sample.buffer_owned().expect("a buffer");
        let map = buffer.map_readable().expect("mapped");
        words.push((String::from_utf8(map.to_vec()).expect("UTF-8"), buffer.pts(), buffer.duration()));
    }
    let bus = pipeline.bus().expect("a bus");
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert!(end.is_some_and(|m| m.type_() == gst::MessageType::Eos));
    pipeline.set_state(gst::State::Null).expect("stopped");
    assert_eq!(words.iter().map(|w| w.0.as_str()).collect::<Vec<_>>(), ["The", "bird", "sings.", "Loudly!"]);
    assert!(words.windows(2).all(|w| w[0].1 < w[1].1) && words.iter().all(|w| w.2 > gst::ClockTime::NONE));
    assert!(std::fs::metadata(&file).expect("a file").len() > 500);
}

/// A flush takes the segment away, and buffers without one have no time.
#[test]
fn after_a_flush_the_segment_comes_again() {
    let mut harness = harness("");
    harness.push(gst::Buffer::from_slice(b"A bird.\n\n".to_vec())).expect("a push");
    let is_segment = |e: &gst::Event| e.type_() == gst::EventType::Segment;
    let before = std::iter::from_fn(|| harness.try_pull_event()).filter(is_segment).count();
    assert_eq!(before, 1);
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    // That of the text, which it has to have as well and which is not passed on.
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    pull_all(&mut harness);
    harness.push(gst::Buffer::from_slice(b"A bird.\n\n".to_vec())).expect("a push");
    let after = std::iter::from_fn(|| harness.try_pull_event()).filter(is_segment).count();
    assert_eq!(after, 1);
    assert_eq!(harness.pull().expect("spoken").pts(), Some(gst::ClockTime::ZERO));
}

#[test]
fn an_engine_that_is_not_there_says_which_are() {
    init();
    let tts =
        gst::ElementFactory::make("siskintts").property("engine", "festival").build().expect("an element");
    let pipeline = gst::Pipeline::new();
    pipeline.add(&tts).expect("a new element");
    assert!(pipeline.set_state(gst::State::Paused).is_err());
    let text = error_of(&pipeline);
    // Those installed on the machine, or how to get some: `siskin speak` says the same.
    assert!(
        text.contains("engine is festival") && (text.contains("bundle") || text.contains("models import")),
        "{text}"
    );
}

/// The error that a pipeline has posted.
fn error_of(pipeline: &gst::Pipeline) -> String {
    let bus = pipeline.bus().expect("a bus");
    let message = bus.timed_pop_filtered(gst::ClockTime::SECOND, &[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).expect("stopped");
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => error.error().to_string(),
        other => format!("no error: {other:?}"),
    }
}

#[test]
fn voices_that_are_not_there_are_an_error_message() {
    init();
    let pipeline =
        gst::parse::launch("appsrc ! siskintts model=no-such-voices ! fakesink").expect("a pipeline");
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    assert!(pipeline.set_state(gst::State::Paused).is_err());
    let text = error_of(&pipeline);
    assert!(text.contains("no-such-voices") && text.contains("voices there: "), "{text}");
}

#[test]
fn sound_and_words_go_into_one_file() {
    init();
    let folder = tempfile::tempdir().expect("a folder");
    let (text, file) = (folder.path().join("a.txt"), folder.path().join("a.mka"));
    std::fs::write(&text, "The bird sings. Loudly! Nobody knows why it does so. ".repeat(8)).expect("a text");
    // As in docs/tts.md: all sound of a sentence comes before its words.
    let queue = "queue max-size-time=0 max-size-buffers=0 max-size-bytes=0";
    let pipeline = launch(&format!(
        "filesrc location={} ! {TEXT} ! siskintts name=t model={} t.src ! {queue} ! siskinaudioenc ! siskinmux name=m \
         ! filesink location={} t.words ! {queue} ! m.subtitle_0",
        text.display(),
        toy(),
        file.display()
    ));
    assert_eq!(play(&pipeline).error, None);
    let reader =
        siskin_core::container::Reader::open(std::fs::File::open(&file).expect("a file")).expect("Matroska");
    assert_eq!(reader.tracks().len(), 2);
}
