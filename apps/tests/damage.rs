//! Coded files that were cut off or changed.

mod common;

use std::fs;

use common::*;
use siskin_core::container::{Block, Reader};

/// The same numbers each time.
struct Random(u32);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(self.0) * end as u64) >> 32) as usize
    }
}

#[test]
fn a_file_cut_at_any_byte_plays_to_the_cut_or_fails_cleanly() {
    let folder = folder();
    let coded = coded(folder.path(), 4.0, &["--frames-per-packet", "10"]);
    let (whole, samples) = (fs::read(&coded).expect("a file"), decode(&coded, &[]));
    let (cut, out) = (folder.path().join("cut.mka"), folder.path().join("cut.f32"));
    let (mut random, mut played) = (Random(1), 0);
    for _ in 0..50 {
        let at = random.below(whole.len());
        fs::write(&cut, &whole[..at]).expect("a file");
        let output = run(["decode", "-q", "-y", text(&cut), text(&out)]);
        if output.status.success() {
            let bytes = fs::read(&out).expect("a file");
            let found: Vec<_> =
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            assert!(found.len() <= samples.len() && samples.starts_with(&found), "cut at {at}");
            assert!(!found.is_empty());
            if found.len() < samples.len() {
                assert!(stderr(&output).contains("is cut off"), "cut at {at}: {}", stderr(&output));
                played += 1;
            }
            fs::remove_file(&out).expect("the output");
        } else {
            assert_fails(&output, 1, "cut.mka");
            assert!(!out.exists(), "cut at {at}");
        }
    }
    assert!(played > 20, "most cuts leave something to play: {played}");
}

#[test]
fn a_cut_file_is_repaired_in_its_place() {
    let folder = folder();
    let coded = coded(folder.path(), 6.0, &["--frames-per-packet", "10"]);
    let whole = fs::read(&coded).expect("a file");
    let (cut, mut random) = (folder.path().join("cut.mka"), Random(3));
    for _ in 0..6 {
        let at = whole.len() / 4 + random.below(whole.len() * 3 / 4);
        fs::write(&cut, &whole[..at]).expect("a file");
        let before = decode(&cut, &["-q"]);
        assert_eq!(run(["verify", text(&cut)]).status.code(), Some(1), "cut at {at}");
        let lines = ndjson(&good(["verify", "--repair", "--json", text(&cut)]));
        assert_eq!(
            (lines[0]["type"].as_str(), &lines[1]["ok"]),
            (Some("repaired"), &true.into()),
            "{lines:?}"
        );
        assert_eq!(decode(&cut, &["-q"]), before, "cut at {at}");
        let stated = &ndjson(&good(["info", "--json", text(&cut)]))[0]["seconds"];
        let seconds = before.len() as f64 / 24_000.0;
        assert!((stated.as_f64().expect("a length") - seconds).abs() < 0.002, "{stated}, not {seconds}");
    }
    assert_files(folder.path(), &["cut.f32", "cut.mka", "in.mka", "in.wav"]);
    fs::write(&cut, &whole[..100]).expect("a file");
    assert_fails(&run(["verify", "--repair", text(&cut)]), 1, "nothing to be saved");
    assert_eq!(fs::read(&cut).expect("a file"), &whole[..100], "what cannot be repaired is left alone");
}

#[test]
fn only_what_needs_it_is_repaired() {
    let folder = folder();
    let whole = coded(folder.path(), 2.0, &["--frames-per-packet", "10"]);
    let before = fs::read(&whole).expect("a file");
    let said = good(["verify", "--repair", text(&whole)]);
    assert!(String::from_utf8_lossy(&said).contains("nothing to be repaired"));
    let lines = ndjson(&good(["verify", "--repair", "--json", text(&whole)]));
    assert_eq!((lines.len(), &lines[0]["verb"]), (1, &"verify".into()), "{lines:?}");
    assert_eq!(fs::read(&whole).expect("a file"), before);
    // A live stream that was kept has no index.
    let live = folder.path().join("live.mka");
    fs::write(&live, good(["encode", "-q", text(&folder.path().join("in.wav")), "-"])).expect("a file");
    let lines = ndjson(&good(["verify", "--repair", "--json", text(&live)]));
    assert_eq!(lines[0]["type"], "repaired", "{lines:?}");
    // What other programs wrote is theirs, whole or cut off.
    let film = folder.path().join("film.mkv");
    ffmpeg(&["-f", "lavfi", "-i", "sine=d=2", "-c:a", "libopus", text(&film)]);
    let other = fs::read(&film).expect("a file");
    for data in [&other[..], &other[..other.len() * 3 / 4]] {
        fs::write(&film, data).expect("a file");
        assert_fails(
            &run(["verify", "--repair", text(&film)]),
            1,
            "no A_SISKIN or V_SISKIN track, found: A_OPUS",
        );
        assert_eq!(fs::read(&film).expect("a file"), data);
    }
}

#[test]
fn changed_bytes_never_end_in_a_panic() {
    let folder = folder();
    let coded = coded(folder.path(), 2.0, &["--frames-per-packet", "10"]);
    let whole = fs::read(&coded).expect("a file");
    let (bad, out) = (folder.path().join("bad.mka"), folder.path().join("bad.f32"));
    let mut random = Random(7);
    for _ in 0..40 {
        let mut data = whole.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(data.len());
            data[at] ^= 1 << random.below(8);
        }
        fs::write(&bad, data).expect("a file");
        for args in [
            &["decode", "-y", "-q", text(&bad), text(&out)][..],
            &["info", text(&bad)],
            &["verify", text(&bad)],
        ] {
            let output = run(args);
            assert!(matches!(output.status.code(), Some(0..=2)), "{args:?}: {}", stderr(&output));
            assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        }
        // At most a minute of concealment for each damaged time stamp.
        assert!(fs::metadata(&out).map_or(0, |m| m.len()) < 4 * 24_000 * 200);
    }
}

/// The offset of each packet's payload in a file.
fn packets(data: &[u8]) -> Vec<usize> {
    let mut reader = Reader::open(data).expect("a coded file");
    let (mut found, mut block, mut from) = (Vec::new(), Block::default(), 0);
    while reader.next_block(&mut block).expect("a whole file") {
        let length = block.data.len();
        let at = data[from..].windows(length).position(|w| w == block.data).expect("its bytes");
        found.push(from + at);
        from += at + length;
    }
    found
}

#[test]
fn damaged_packets_are_bridged_and_the_length_is_kept() {
    let folder = folder();
    let coded = coded(folder.path(), 5.0, &[]);
    let (whole, samples) = (fs::read(&coded).expect("a file"), decode(&coded, &[]));
    let places = packets(&whole);
    assert_eq!(places.len(), 6);
    for lost in [vec![0], vec![2], vec![2, 3], vec![5], vec![1, 5]] {
        let mut data = whole.clone();
        // A coding that no reader knows.
        lost.iter().for_each(|&p: &usize| data[places[p]] |= 0x1f);
        let bad = folder.path().join("bad.mka");
        fs::write(&bad, data).expect("a file");
        let out = folder.path().join("bad.f32");
        let output = run(["decode", "-q", "-y", text(&bad), text(&out)]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("{} damaged packets", lost.len())), "{}", stderr(&output));
        assert_eq!(fs::metadata(&out).expect("a file").len(), 4 * samples.len() as u64, "lost {lost:?}");
        let verified = run(["verify", text(&bad)]);
        assert_eq!(verified.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&verified.stdout).contains("coding"), "{verified:?}");
    }
}

#[test]
fn verify_tells_good_from_cut() {
    let folder = folder();
    let coded = coded(folder.path(), 3.0, &[]);
    let found = ndjson(&good(["verify", "--json", text(&coded)]));
    assert_eq!((&found[0]["ok"], &found[0]["packets"]), (&true.into(), &4.into()));
    let data = fs::read(&coded).expect("a file");
    fs::write(&coded, &data[..data.len() * 2 / 3]).expect("a file");
    let output = run(["verify", "--json", text(&coded)]);
    assert_eq!(output.status.code(), Some(1));
    let lines = ndjson(&output.stdout);
    assert_eq!(lines.last().expect("a result")["ok"], false);
    assert!(lines.iter().any(|l| l["type"] == "fault"));
}
