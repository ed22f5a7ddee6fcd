//! Tracks of other codecs beside Siskin's in one file, with their languages, titles and chapters.

mod common;

use std::fs::File;
use std::path::Path;

use common::*;
use gst::prelude::*;
use gst_pbutils::prelude::*;
use siskin_core::container::Reader;

/// Writes what a pipeline with a muxer `mux` makes of its sources.
fn record(path: &Path, muxer: &str, sources: &str) -> Said {
    let pipeline = launch(&format!("{muxer} name=mux ! filesink name=out {sources}"));
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    play(&pipeline)
}

/// Decodes a file's stream of a kind to raw buffers.
fn decode_stream(path: &Path, caps: &str) -> (Said, Vec<Seen>) {
    let kind = if caps.starts_with("video") { "video/x-raw" } else { "audio/x-raw" };
    let text =
        format!("uridecodebin uri={} caps={kind} expose-all-streams=false ! identity name=last", uri(path));
    let (sink, eye) = eye(caps);
    let pipeline = launch(&text);
    pipeline.add(&sink).expect("a new element");
    pipeline.by_name("last").expect("last").link(&sink).expect("a link");
    (play(&pipeline), seen(&eye))
}

const SISKIN: &str = "videotestsrc num-buffers=50 pattern=ball ! video/x-raw,width=64,height=48,framerate=25/1 ! siskinvideoenc ! \
                      queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! mux.";

#[test]
fn sound_of_any_codec_plays_beside_siskin_video() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = "audiotestsrc num-buffers=100 samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2";
    let queue = "queue max-size-time=0 max-size-buffers=0 max-size-bytes=0";
    for (coder, codec) in [
        ("opusenc", "A_OPUS"),
        ("vorbisenc", "A_VORBIS"),
        ("flacenc", "A_FLAC"),
        ("audioconvert ! audio/x-raw,format=S16LE", "A_PCM/INT/LIT"),
        ("audioconvert ! audio/x-raw,format=F32LE", "A_PCM/FLOAT/IEEE"),
        ("lamemp3enc ! mpegaudioparse", "A_MPEG/L3"),
        ("avenc_aac ! aacparse", "A_AAC"),
        ("avenc_ac3 ! ac3parse", "A_AC3"),
    ] {
        let coder = &format!("audioconvert ! {coder}");
        let (ours, stock) = (folder.path().join("ours.mkv"), folder.path().join("stock.mka"));
        let said = record(&ours, "siskinmux", &format!("{SISKIN} {raw} ! {coder} ! {queue} ! mux."));
        assert_eq!((said.error, said.warnings), (None, vec![]), "{codec}");
        let said = record(&stock, "matroskamux", &format!("{raw} ! {coder} ! {queue} ! mux."));
        assert_eq!(said.error, None, "{codec}");
        let reader = Reader::open(File::open(&ours).expect("the file")).expect("a Matroska file");
        let mut codecs: Vec<_> = reader.tracks().iter().map(|t| t.codec_id.as_str()).collect();
        codecs.sort_unstable();
        assert_eq!(codecs, [codec, "V_SISKIN"]);
        // The sound is that of the stock muxer's file, sample by sample and in time.
        let pcm = |path: &Path| {
            let (said, parts) = decode_stream(path, "audio/x-raw");
            assert_eq!((said.error, said.warnings), (None, vec![]), "{codec}");
            let start = parts.first().and_then(|p| p.pts).expect("a time");
            (start, parts.into_iter().flat_map(|p| p.data).collect::<Vec<u8>>())
        };
        let (own, expected) = (pcm(&ours), pcm(&stock));
        let off = own.0.max(expected.0) - own.0.min(expected.0);
        assert!(off <= gst::ClockTime::from_mseconds(1), "{codec}: {} and {}", own.0, expected.0);
        assert!(own.1 == expected.1, "{codec}: {} and {} bytes", own.1.len(), expected.1.len());
        let (said, pictures) = decode_stream(&ours, "video/x-raw");
        assert_eq!((said.error, pictures.len()), (None, 50), "{codec}");
    }
}

#[test]
fn video_of_any_codec_plays_beside_siskin_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = "videotestsrc num-buffers=50 pattern=ball ! video/x-raw,format=I420,width=64,height=48,framerate=25/1";
    let sound = "audiotestsrc num-buffers=94 ! audioconvert ! audioresample ! siskinaudioenc ! queue max-size-time=0 ! mux.";
    for (coder, codec, tool) in [
        ("vp8enc deadline=1", "V_VP8", "vp8enc"),
        ("vp9enc deadline=1 cpu-used=8", "V_VP9", "vp9enc"),
        (
            "x264enc bframes=2 key-int-max=20 ! h264parse ! video/x-h264,stream-format=avc",
            "V_MPEG4/ISO/AVC",
            "x264enc",
        ),
        ("x265enc ! h265parse ! video/x-h265,stream-format=hvc1", "V_MPEGH/ISO/HEVC", "x265enc"),
        ("av1enc cpu-used=8 ! av1parse", "V_AV1", "av1enc"),
        ("jpegenc", "V_MJPEG", "jpegenc"),
        ("theoraenc", "V_THEORA", "theoraenc"),
    ] {
        init();
        if gst::ElementFactory::find(tool).is_none() {
            // Patent pools keep some encoders out of base installations.
            eprintln!("{codec} not tried: there is no {tool} here");
            continue;
        }
        let queue = "queue max-size-time=0 max-size-buffers=0 max-size-bytes=0";
        let (ours, stock) = (folder.path().join("ours.mkv"), folder.path().join("stock.mkv"));
        let said = record(&ours, "siskinmux", &format!("{raw} ! {coder} ! {queue} ! mux. {sound}"));
        assert_eq!((said.error, said.warnings), (None, vec![]), "{codec}");
        let said = record(&stock, "matroskamux", &format!("{raw} ! {coder} ! {queue} ! mux."));
        assert_eq!(said.error, None, "{codec}");
        // Packets in the order of decoding with their times, and what is shown where a decoder is there.
        let packets = |path: &Path| {
            let text = format!(
                "filesrc location={} ! matroskademux name=d d.video_0 ! identity name=last",
                path.display()
            );
            let (said, packets) = watch(&text, "ANY");
            assert_eq!(said.error, None, "{codec}");
            packets.into_iter().map(|p| (p.pts.map(|t| t.mseconds()), p.data)).collect::<Vec<_>>()
        };
        let (own, expected) = (packets(&ours), packets(&stock));
        // VP9 shows some frames without coding them.
        assert!(own.len() > 30, "{codec}: {} packets", own.len());
        assert_eq!(
            own.iter().map(|p| p.0).collect::<Vec<_>>(),
            expected.iter().map(|p| p.0).collect::<Vec<_>>(),
            "{codec}"
        );
        assert!(own == expected, "{codec}");
        let (said, heard) = decode_stream(&ours, RAW);
        assert_eq!(said.error, None, "{codec}");
        let samples: usize = heard.iter().map(|p| p.data.len() / 4).sum();
        assert_eq!(samples, 94 * 1024, "{codec}");
    }
}

#[test]
fn each_track_keeps_its_language_title_and_tags() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("film.mka");
    let sound = |name: &str, language: &str, number: u32| {
        format!(
            "audiotestsrc num-buffers=20 ! audioconvert ! audioresample ! \
             taginject tags=\"title={name},language-code={language},artist={name}\" ! siskinaudioenc ! queue ! mux.audio_{number}"
        )
    };
    let muxer = "siskinmux";
    let pipeline = launch(&format!(
        "{muxer} name=mux ! filesink name=out {} {}",
        sound("Original", "de", 0),
        sound("Dubbed", "en", 1)
    ));
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    let mux = pipeline.by_name("mux").expect("mux");
    // What an application sets is the file's.
    let setter = mux.dynamic_cast_ref::<gst::TagSetter>().expect("a tag setter");
    setter.add_tag::<gst::tags::Title>(&"The film", gst::TagMergeMode::Replace);
    setter.add_tag::<gst::tags::ISRC>(&"DEX000000001", gst::TagMergeMode::Replace);
    let mut toc = gst::Toc::new(gst::TocScope::Global);
    for (n, name) in ["Morning", "Evening"].into_iter().enumerate() {
        let mut chapter = gst::TocEntry::new(gst::TocEntryType::Chapter, &n.to_string());
        let mut tags = gst::TagList::new();
        tags.make_mut().add::<gst::tags::Title>(&name, gst::TagMergeMode::Append);
        let edit = chapter.make_mut();
        edit.set_start_stop_times(n as i64 * 200_000_000, (n as i64 + 1) * 200_000_000);
        edit.set_tags(Some(tags));
        toc.make_mut().append_entry(chapter);
    }
    mux.dynamic_cast_ref::<gst::TocSetter>().expect("a TOC setter").set_toc(Some(&toc));
    let said = play(&pipeline);
    assert_eq!((said.error, said.warnings), (None, vec![]));

    let reader = Reader::open(File::open(&path).expect("the file")).expect("a Matroska file");
    let chapters: Vec<_> = reader.chapters().iter().map(|c| (c.title.as_str(), c.start_ns)).collect();
    assert_eq!(chapters, [("Morning", 0), ("Evening", 200_000_000)]);
    let discoverer = gst_pbutils::Discoverer::new(gst::ClockTime::from_seconds(30)).expect("a discoverer");
    let info = discoverer.discover_uri(&uri(&path)).expect("a media file");
    let mut tracks: Vec<_> = info
        .audio_streams()
        .iter()
        // It lists what the demuxer gives the parsers as well, without tags.
        .filter_map(|stream| {
            let tags = stream.tags()?;
            let text = |tag| tags.generic(tag).and_then(|v| v.get::<String>().ok()).unwrap_or_default();
            Some((text("language-code"), text("title"), text("artist")))
        })
        .collect();
    tracks.sort();
    let track = |language: &str, name: &str| (language.to_owned(), name.to_owned(), name.to_owned());
    assert_eq!(tracks, [track("de", "Original"), track("en", "Dubbed")]);
    let of_file = |name: &str, value: &str| reader.tags().iter().any(|(n, v)| n == name && v == value);
    assert!(of_file("TITLE", "The film") && of_file("ISRC", "DEX000000001"), "{:?}", reader.tags());
    assert!(info.toc().is_some(), "chapters");
}

#[test]
fn ordinary_files_stay_with_the_stock_muxer() {
    init();
    let find = |name: &str| gst::ElementFactory::find(name).expect("it is installed").rank();
    assert!(find("siskinmux") < find("matroskamux"));
    // A profile with Siskin video and Opus sound finds the one muxer that takes both.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made.mkv");
    let pipeline = launch(
        "encodebin name=mux profile=\"video/x-matroska:video/x-siskin:audio/x-opus\" ! filesink name=out \
         videotestsrc num-buffers=25 ! video/x-raw,width=160,height=120,framerate=25/1 ! queue ! mux.video_0 \
         audiotestsrc num-buffers=43 ! queue ! mux.audio_0",
    );
    pipeline.by_name("out").expect("out").set_property("location", path.to_str().expect("a plain path"));
    let said = play(&pipeline);
    assert_eq!(said.error, None);
    let reader = Reader::open(File::open(&path).expect("the file")).expect("a Matroska file");
    let mut codecs: Vec<_> = reader.tracks().iter().map(|t| t.codec_id.as_str()).collect();
    codecs.sort_unstable();
    assert_eq!(codecs, ["A_OPUS", "V_SISKIN"]);
}
