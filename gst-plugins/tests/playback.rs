//! Files through the stock Matroska demuxer, with nothing named: what a player does.

mod common;

use std::path::Path;

use common::*;
use gst::prelude::*;
use gst_pbutils::prelude::DiscovererStreamInfoExt;

/// The samples that `playbin` plays of a file.
fn player(path: &Path) -> (gst::Element, std::sync::Arc<std::sync::Mutex<Heard>>) {
    init();
    let (sink, ear) = ear();
    let player = gst::ElementFactory::make("playbin")
        .property("uri", uri(path))
        .property("audio-sink", &sink)
        .property("video-sink", gst::ElementFactory::make("fakesink").build().expect("a sink"))
        .build()
        .expect("playbin");
    (player, ear)
}

#[test]
fn playbin_plays_the_cores_samples() {
    for (length, frames) in [(1, 50), (700, 1), (24_000, 50), (100_001, 50), (50_000, 3)] {
        let pcm = voice(length);
        let (_folder, path) =
            write_file(&pcm, &format!("siskinaudioenc frames-per-packet={frames}"), "siskinmux");
        let (player, ear) = player(&path);
        let said = play(&player);
        assert_eq!((said.error, said.warnings), (None, vec![]));
        let heard = heard(&ear);
        assert_same(&heard.pcm, &decode_coded(&encode(&pcm, frames, None)));
        assert_eq!(heard.pcm.len(), length);
        let mut position = 0;
        for (pts, samples) in heard.buffers {
            let off = pts.map(|pts| pts.max(time(position)) - pts.min(time(position)));
            assert!(off.is_some_and(|off| off.nseconds() <= 2), "{pts:?} at sample {position}");
            position += samples as u64;
        }
    }
}

#[test]
fn decodebin_and_uridecodebin_find_the_elements() {
    let pcm = voice(40_000);
    let (_folder, path) = write_file(&pcm, "siskinaudioenc", "siskinmux");
    let expected = decode_coded(&encode(&pcm, 50, None));
    // Not uridecodebin3: that of GStreamer 1.22 now and then pushes data before its own decodebin3 takes any.
    for kind in ["decodebin", "decodebin3", "uridecodebin"] {
        let pipeline = gst::Pipeline::new();
        let decoder = gst::ElementFactory::make(kind).build().expect("a stock element");
        let (sink, ear) = ear();
        pipeline.add_many([&decoder, sink.upcast_ref()]).expect("new elements");
        if kind.starts_with("uri") {
            decoder.set_property("uri", uri(&path));
        } else {
            let location = path.to_str().expect("a plain path");
            let source = gst::ElementFactory::make("filesrc").property("location", location);
            let source = source.build().expect("a stock element");
            pipeline.add(&source).expect("a new element");
            source.link(&decoder).expect("a link");
        }
        let pad = sink.static_pad("sink").expect("a sink has a pad");
        decoder.connect_pad_added(move |_, new| {
            new.link(&pad).expect("a link");
        });
        assert_eq!(play(&pipeline).error, None, "{kind}");
        assert_same(&heard(&ear).pcm, &expected);
    }
}

/// Waits until the player has got where it was going.
fn settle(player: &gst::Element) {
    let (result, state, _) = player.state(gst::ClockTime::from_seconds(30));
    assert!(result.is_ok() && state == gst::State::Paused, "{result:?} {state:?}");
}

fn clear(ear: &std::sync::Mutex<Heard>) {
    *ear.lock().expect("nobody panics with it") = Heard::default();
}

#[test]
fn a_seek_plays_from_there_with_the_right_times() {
    let (length, frames) = (20 * RATE as usize, 50);
    let pcm = voice(length);
    let (_folder, path) =
        write_file(&pcm, &format!("siskinaudioenc frames-per-packet={frames}"), "siskinmux");
    let coded = encode(&pcm, frames, None);
    for (target, flags) in [
        (gst::ClockTime::from_mseconds(7_300), gst::SeekFlags::ACCURATE),
        (gst::ClockTime::from_mseconds(13_777), gst::SeekFlags::ACCURATE),
        (gst::ClockTime::from_mseconds(2), gst::SeekFlags::ACCURATE),
        // Just behind an entry of the index, so that no packet before it comes by itself.
        (gst::ClockTime::from_mseconds(15_000), gst::SeekFlags::ACCURATE),
        (gst::ClockTime::from_mseconds(12_000), gst::SeekFlags::KEY_UNIT),
    ] {
        let (player, ear) = player(&path);
        player.set_state(gst::State::Paused).expect("a start");
        settle(&player);
        player.seek_simple(gst::SeekFlags::FLUSH | flags, target).expect("a seek");
        settle(&player);
        clear(&ear);
        let said = play(&player);
        assert_eq!((said.error, said.warnings), (None, vec![]));
        let heard = heard(&ear);
        let first = heard.buffers[0].0.expect("a time");
        if flags == gst::SeekFlags::ACCURATE {
            let off = first.max(target) - first.min(target);
            assert!(off <= time(1), "{first} for {target}");
        } else {
            assert!(coded.iter().any(|p| time(p.position) == first), "{first} is no packet's time");
            assert!(
                first <= target && target - first <= gst::ClockTime::from_seconds(5),
                "{first} for {target}"
            );
        }
        // To the end, to the sample.
        let start = first.nseconds() as u128 * u128::from(RATE) / 1_000_000_000;
        assert!((length as u128 - start).abs_diff(heard.pcm.len() as u128) <= 1);
        if flags == gst::SeekFlags::ACCURATE {
            // Bit for bit what is heard there without a seek.
            let linear = decode_coded(&coded);
            assert!(linear.ends_with(&heard.pcm), "after a seek to {target}");
            continue;
        }
        // What is heard is what a decoder gives that begins at some packet before.
        let same = (0..coded.len()).any(|from| {
            let rest = decode(coded[from..].iter().map(|p| p.data.as_slice()));
            rest.ends_with(&heard.pcm)
        });
        assert!(same, "after a seek to {target}");
    }
}

#[test]
fn it_plays_backwards_and_fast() {
    let (_folder, path) = write_file(&voice(6 * RATE as usize), "siskinaudioenc", "siskinmux");
    for rate in [-1.0, 2.0] {
        let (player, ear) = player(&path);
        player.set_state(gst::State::Paused).expect("a start");
        settle(&player);
        clear(&ear);
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let (start, stop) = (gst::ClockTime::ZERO, gst::ClockTime::from_seconds(5));
        player.seek(rate, flags, gst::SeekType::Set, start, gst::SeekType::Set, stop).expect("a seek");
        let said = play(&player);
        assert_eq!((said.error, said.warnings), (None, vec![]), "rate {rate}");
        let heard = heard(&ear).pcm.len() as u64;
        assert!(heard.abs_diff(5 * RATE) <= RATE, "{heard} samples at rate {rate}");
    }
}

#[test]
fn many_seeks_while_playing_do_no_harm() {
    let (_folder, path) =
        write_file(&voice(10 * RATE as usize), "siskinaudioenc frames-per-packet=5", "siskinmux");
    let (player, ear) = player(&path);
    player.set_state(gst::State::Paused).expect("a start");
    settle(&player);
    let mut dice = Dice(5);
    for n in 0..30 {
        let flags = if n % 2 == 0 { gst::SeekFlags::ACCURATE } else { gst::SeekFlags::KEY_UNIT };
        let target = gst::ClockTime::from_mseconds(dice.roll(10_000));
        player.seek_simple(gst::SeekFlags::FLUSH | flags, target).expect("a seek");
        if n % 5 == 0 {
            settle(&player);
        }
    }
    settle(&player);
    player
        .seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, gst::ClockTime::ZERO)
        .expect("a seek");
    settle(&player);
    clear(&ear);
    assert_eq!(play(&player).error, None);
    assert_eq!(heard(&ear).pcm.len(), 10 * RATE as usize);
}

#[test]
fn a_cut_file_plays_up_to_the_cut() {
    let pcm = voice(6 * RATE as usize);
    let (folder, path) = write_file(&pcm, "siskinaudioenc frames-per-packet=10", "siskinmux");
    let whole = std::fs::read(&path).expect("the file");
    let expected = decode_coded(&encode(&pcm, 10, None));
    let mut dice = Dice(11);
    let mut played = 0;
    // What is cut before the first cluster never gets past the stock demuxer, which has its own trouble with it.
    let head = whole.windows(4).position(|w| w == [0x1f, 0x43, 0xb6, 0x75]).expect("a cluster");
    for n in 0..20 {
        let cut = head + dice.roll((whole.len() - head) as u64) as usize;
        let path = folder.path().join(format!("cut{n}.mka"));
        std::fs::write(&path, &whole[..cut]).expect("a file");
        let (player, ear) = player(&path);
        let said = play(&player);
        let pcm = heard(&ear).pcm;
        assert!(!pcm.is_empty() || said.error.is_some(), "cut at {cut}");
        assert_same(&pcm, &expected[..pcm.len()]);
        played += usize::from(pcm.len() > RATE as usize);
    }
    assert!(played > 10, "{played} of 20 played more than a second");
}

#[test]
fn damage_in_a_file_is_a_warning_and_keeps_the_length() {
    let pcm = voice(6 * RATE as usize);
    let (_folder, path) = write_file(&pcm, "siskinaudioenc frames-per-packet=10", "siskinmux");
    let mut bytes = std::fs::read(&path).expect("the file");
    // The first byte of a packet in the middle says how it is coded: one that is not defined.
    let packet = &encode(&pcm, 10, None)[14].data;
    let at = bytes.windows(packet.len()).position(|w| w == packet.as_slice()).expect("the packet");
    bytes[at] |= 0x1f;
    std::fs::write(&path, bytes).expect("the file");
    let (player, ear) = player(&path);
    let said = play(&player);
    assert_eq!(said.error, None);
    assert!(
        said.warnings.len() == 1 && said.warnings[0].starts_with("broken packet at 0:00:02.7"),
        "{said:?}"
    );
    assert_eq!(heard(&ear).pcm.len(), pcm.len());
}

#[test]
fn a_file_of_a_bundle_that_is_not_here_says_which() {
    let (_folder, path) = write_file(&voice(30_000), "siskinaudioenc", "siskinmux");
    let mut bytes = std::fs::read(&path).expect("the file");
    let id = header().bundle.0;
    for at in 0..bytes.len() - id.len() {
        if bytes[at..].starts_with(&id) {
            bytes[at..at + id.len()].copy_from_slice(&stranger().bundle.0);
        }
    }
    std::fs::write(&path, bytes).expect("the file");
    let (player, _ear) = player(&path);
    let error = play(&player).error.expect("an error");
    assert!(error.contains("needs the model bundle speech-24k (id abababababababab)"), "{error}");
}

#[test]
fn a_real_recording_keeps_its_length() {
    init();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/clips/speech-fr-female.flac");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.mka");
    let pipeline = launch(&format!(
        "filesrc location={} ! flacparse ! flacdec ! audioconvert ! audioresample ! tee name=t \
         t. ! queue ! siskinaudioenc name=enc bitrate=6000 ! siskinmux ! filesink name=out \
         t. ! queue ! fakesink name=count sync=false",
        clip.display()
    ));
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    assert_eq!(play_on(&pipeline).error, None);
    let stats = pipeline.by_name("enc").expect("enc").property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    let samples = stats.get::<u64>("samples").expect("a counter");
    assert!(samples.abs_diff(10 * RATE) <= 1, "{samples} of ten seconds");
    let (player, ear) = player(&path);
    assert_eq!(play(&player).error, None);
    assert_eq!(heard(&ear).pcm.len() as u64, samples);
}

#[test]
fn the_discoverer_sees_the_track() {
    let (_folder, path) = write_file(&voice(60_000), "siskinaudioenc", "siskinmux");
    let discoverer = gst_pbutils::Discoverer::new(gst::ClockTime::from_seconds(30)).expect("a discoverer");
    let info = discoverer.discover_uri(&uri(&path)).expect("a file that can be read");
    assert_eq!(info.duration(), Some(gst::ClockTime::from_mseconds(2500)));
    assert!(info.is_seekable());
    let tracks = info.audio_streams();
    // It shows the track twice: as the demuxer passes it on, and parsed.
    let media: Vec<_> = tracks.iter().filter_map(|t| t.caps()).map(|c| c.to_string()).collect();
    let parsed =
        tracks.iter().find(|t| t.caps().is_some_and(|c| c.to_string().starts_with("audio/x-siskin")));
    assert_eq!(parsed.map(|t| (t.sample_rate(), t.channels())), Some((24_000, 1)), "{media:?}");
}

#[test]
fn a_live_source_is_heard_without_loss() {
    let (sink, ear) = ear();
    let text = format!(
        "audiotestsrc is-live=true num-buffers=25 samplesperbuffer=480 ! {RAW} ! siskinaudioenc ! siskinaudiodec name=dec"
    );
    let pipeline = launch(&text);
    pipeline.add(&sink).expect("a new element");
    pipeline.by_name("dec").expect("dec").link(&sink).expect("a link");
    assert_eq!(play(&pipeline).error, None);
    assert_eq!(heard(&ear).pcm.len(), 25 * 480);
}

#[test]
fn losses_on_the_way_keep_the_length() {
    let (sink, ear) = ear();
    let text = format!(
        "audiotestsrc num-buffers=400 samplesperbuffer=480 ! {RAW} ! siskinaudioenc frames-per-packet=1 ! \
         identity drop-probability=0.1 ! siskinaudiodec name=dec"
    );
    let pipeline = launch(&text);
    pipeline.add(&sink).expect("a new element");
    let decoder = pipeline.by_name("dec").expect("dec");
    decoder.link(&sink).expect("a link");
    assert_eq!(play_on(&pipeline).error, None);
    let stats = decoder.property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).expect("stopping never fails");
    assert!(stats.get::<u64>("concealments").is_ok_and(|n| n > 0), "{stats}");
    // Only what was lost at the very beginning or end is not known of.
    let heard = heard(&ear).pcm.len();
    assert!((400 * 480 - 5 * 480..=400 * 480).contains(&heard), "{heard}");
}
