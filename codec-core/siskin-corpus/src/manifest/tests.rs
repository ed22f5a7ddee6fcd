#![allow(clippy::panic, reason = "a refusal that is none fails the test")]

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a.wav", "b.wav"] {
        fs::write(folder.path().join(name), "sound").expect("a file");
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path
}

fn reason(utterance: &Utterance) -> &str {
    match &utterance.sound {
        Sound::Refused(reason) => reason,
        Sound::File(path) => panic!("{} is taken", path.display()),
    }
}

#[test]
fn nemo_lines_become_utterances() {
    let folder = folder();
    let lines = "{\"audio_filepath\": \"a.wav\", \"duration\": 1.5, \"text\": \"so \\u00e4\", \"speaker\": 7}\n\n\
                 {\"audio_filepath\": \"b.wav\", \"offset\": 2.25, \"duration\": 0.5}\n\
                 {\"audio_filepath\": 3}\n{\"audio_filepath\": \"a.wav\", \"duration\": -1}\nnot json\n\
                 {\"audio_filepath\": \"a.wav\"}\n";
    let path = write(folder.path(), "train.json", lines);
    assert_eq!(ManifestFormat::detect(&path).expect("a file"), Some(ManifestFormat::Nemo));
    let found = read_manifest(&path, ManifestFormat::Nemo).expect("a manifest").utterances;
    let first = &found[0];
    assert_eq!((first.id.as_str(), &first.sound), ("a", &Sound::File(folder.path().join("a.wav"))));
    assert_eq!((first.text.as_deref(), first.speaker.as_deref()), (Some("so ä"), Some("7")));
    assert_eq!((found[1].id.as_str(), found[1].range(24_000)), ("b-2.25", (54_000, Some(66_000))));
    assert_eq!(reason(&found[2]), "line 4: bad audio_filepath: 3, allowed: a text");
    assert!(reason(&found[3]).contains("line 5: bad duration: -1"), "{}", reason(&found[3]));
    assert!(reason(&found[4]).starts_with("line 6: bad line"), "{}", reason(&found[4]));
    // The same file a second time would be two utterances of one name.
    assert_eq!(reason(&found[5]), "entry 6 has the id \"a\" of entry 1");
    assert_eq!(found.len(), 6);
}

#[test]
fn a_kaldi_folder_becomes_utterances() {
    let folder = folder();
    write(folder.path(), "wav.scp", "r1 a.wav\nr2 sph2pipe -f wav x.sph |\nr3 feats.ark:1234\n");
    write(folder.path(), "text", "r1 some words\nu1 the first\nu3\n");
    write(folder.path(), "utt2spk", "r1 anna\nu1 ben\n");
    assert_eq!(ManifestFormat::detect(folder.path()).expect("a folder"), Some(ManifestFormat::Kaldi));
    let whole = read_manifest(folder.path(), ManifestFormat::Kaldi).expect("a manifest").utterances;
    assert_eq!((whole[0].text.as_deref(), whole[0].speaker.as_deref()), (Some("some words"), Some("anna")));
    assert!(reason(&whole[1]).contains("is a command, which is not run"));
    assert!(reason(&whole[2]).contains("place in an archive"));
    write(folder.path(), "segments", "u1 r1 0.5 2\nu2 r9 0 1\nu3 r1 1.0 -1\nu4 r1 2 1\nu5 r1 x 1\nu6 r1\n");
    let parts = read_manifest(folder.path(), ManifestFormat::Kaldi).expect("a manifest").utterances;
    assert_eq!((parts[0].id.as_str(), parts[0].range(16_000)), ("u1", (8_000, Some(32_000))));
    assert_eq!((parts[0].text.as_deref(), parts[0].speaker.as_deref()), (Some("the first"), Some("ben")));
    assert!(reason(&parts[1]).contains("no recording \"r9\""));
    assert_eq!((parts[2].range(16_000), parts[2].text.as_deref()), ((16_000, None), Some("")));
    for (at, what) in
        [(3, "bad end: 1 s, before the start at 2 s"), (4, "bad start: \"x\""), (5, "1 fields after the id")]
    {
        assert!(reason(&parts[at]).contains(what), "{}", reason(&parts[at]));
    }
}

/// A recording of Lhotse with a number of channels.
fn recording(id: &str, channels: &str, more: &str) -> String {
    format!(
        "{{\"id\": \"{id}\", \"sources\": [{{\"type\": \"file\", \"channels\": {channels}, \"source\": \"a.wav\"}}], \
         \"sampling_rate\": 16000, \"num_samples\": 32000, \"duration\": 2.0{more}}}"
    )
}

#[test]
fn lhotse_cuts_become_utterances() {
    let folder = folder();
    let cut = |id: &str, recording: &str, more: &str| {
        format!("{{\"id\": \"{id}\", \"start\": 0.5, \"duration\": 1.0, \"recording\": {recording}{more}}}\n")
    };
    let mono = recording("r", "[0]", "");
    let said = ", \"channel\": 1, \"supervisions\": [{\"id\": \"s\", \"text\": \"one\", \"speaker\": \"x\"}, \
                {\"id\": \"t\", \"text\": \"two\", \"speaker\": \"x\"}], \"type\": \"MonoCut\"";
    let lines = cut("c1", &mono, said)
        + &cut("c2", &recording("r", "[0, 1]", ""), said)
        + &cut("c3", &mono, ", \"type\": \"MixedCut\"")
        + &cut("c4", &recording("r", "[0]", ", \"transforms\": [{\"name\": \"Speed\"}]"), "")
        + &cut("c5", &mono.replace("\"file\"", "\"command\""), "")
        + "{\"id\": \"c6\", \"start\": 0, \"duration\": 1}\n";
    let path = folder.path().join("cuts.jsonl.gz");
    let mut packed = GzEncoder::new(fs::File::create(&path).expect("a file"), Compression::fast());
    packed.write_all(lines.as_bytes()).and_then(|()| packed.finish().map(drop)).expect("a file");
    assert_eq!(ManifestFormat::detect(&path).expect("a file"), Some(ManifestFormat::Lhotse));
    let found = read_manifest(&path, ManifestFormat::Lhotse).expect("a manifest").utterances;
    let first = &found[0];
    assert_eq!(
        (first.range(24_000), first.channel),
        ((12_000, Some(36_000)), None),
        "mono has no other channel"
    );
    assert_eq!((first.text.as_deref(), first.speaker.as_deref()), (Some("one two"), Some("x")));
    assert_eq!(first.recording.as_ref().expect("a recording")["num_samples"], 32_000);
    assert_eq!(found[1].channel, Some(1));
    for (at, what) in
        [(2, "MixedCut"), (3, "1 transforms"), (4, "type \"command\""), (5, "without a recording")]
    {
        assert!(reason(&found[at]).contains(what), "{}", reason(&found[at]));
    }
}

#[test]
fn lhotse_recordings_take_the_supervisions_beside_them() {
    let folder = folder();
    let path = write(folder.path(), "recordings.jsonl", &format!("{}\n", recording("r", "[0]", "")));
    let whole = read_manifest(&path, ManifestFormat::Lhotse).expect("a manifest").utterances;
    assert_eq!((whole[0].id.as_str(), whole[0].duration), ("r", None));
    let supervision = "{\"id\": \"s1\", \"recording_id\": \"r\", \"start\": 0.25, \"duration\": 1.0, \
                       \"channel\": 0, \"text\": \"said\", \"speaker\": \"x\"}\n";
    write(folder.path(), "supervisions.jsonl", &supervision.repeat(2).replacen("s1", "s0", 1));
    let parts = read_manifest(&path, ManifestFormat::Lhotse).expect("a manifest").utterances;
    let ids: Vec<_> = parts.iter().map(|u| u.id.as_str()).collect();
    assert_eq!((ids, parts[0].start, parts[0].text.as_deref()), (vec!["s0", "s1"], 0.25, Some("said")));
    write(folder.path(), "supervisions.jsonl", "{\"id\": \"s\"}\n");
    let error = read_manifest(&path, ManifestFormat::Lhotse).expect_err("no recording").to_string();
    assert!(error.ends_with("supervisions.jsonl:1: bad recording_id: missing"), "{error}");
}

#[test]
fn what_is_no_manifest_is_refused() {
    let folder = folder();
    let path = write(folder.path(), "x.jsonl", "{\"codes\": [[1]]}\n");
    assert_eq!(ManifestFormat::detect(&path).expect("a file"), None);
    let error = read_manifest(&path, ManifestFormat::Nemo).expect_err("no manifest").to_string();
    assert!(error.contains("no line of nemo: line 1: bad audio_filepath: missing"), "{error}");
    let long = write(folder.path(), "long.jsonl", &"x".repeat((16 << 20) + 1));
    let error = read_manifest(&long, ManifestFormat::Nemo).expect_err("too long").to_string();
    assert!(error.ends_with("long.jsonl:1: bad line: more than 16 MiB"), "{error}");
    assert!(matches!(
        read_manifest(&folder.path().join("none"), ManifestFormat::Lhotse),
        Err(Error::Io { .. })
    ));
    // A packed file that ends in the middle.
    fs::write(folder.path().join("cut.jsonl.gz"), [0x1f, 0x8b, 8, 0]).expect("a file");
    let cut = read_manifest(&folder.path().join("cut.jsonl.gz"), ManifestFormat::Nemo);
    assert!(matches!(cut, Err(Error::Io { .. })), "{cut:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// Any bytes: an error or utterances, and no panic. Parts of lines that are right come before them.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..120) {
        let folder = folder();
        let heads = [
            "{\"audio_filepath\": \"a.wav\", \"duration\": 1e999, \"offset\": 1, \"text\": \"x\"}\n".to_owned(),
            format!("{{\"id\": \"c\", \"start\": 0.5, \"duration\": 1, \"recording\": {}}}\n", recording("r", "[0]", "")),
            "r1 a.wav\nu1 r1 0 1\n".to_owned(),
        ];
        for (format, head) in ManifestFormat::ALL.into_iter().zip([&heads[1], &heads[2], &heads[0]]) {
            let data = [&head.as_bytes()[..cut.min(head.len())], &bytes].concat();
            let path = if format == ManifestFormat::Kaldi {
                for name in ["wav.scp", "segments", "text"] {
                    fs::write(folder.path().join(name), &data).expect("a file");
                }
                folder.path().to_owned()
            } else {
                fs::write(folder.path().join("m.jsonl"), &data).expect("a file");
                folder.path().join("m.jsonl")
            };
            let _ = ManifestFormat::detect(&path);
            if let Ok(manifest) = read_manifest(&path, format) {
                for utterance in &manifest.utterances {
                    utterance.range(48_000);
                }
            }
        }
    }
}
