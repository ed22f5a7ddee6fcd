use fs::File;
use std::io::Read;

use ::parquet::file::reader::SerializedFileReader;
use ::parquet::record::{Field, ListAccessor, Row, RowAccessor};
use flate2::read::GzDecoder;
use siskin_audio::tokens::{FileFormat, TokenMeta};

use super::*;

fn tokens(frames: usize, seed: u16) -> TokenFile {
    let codes = (0..3 * frames).map(|n| (n as u16).wrapping_mul(31).wrapping_add(seed) % 1024).collect();
    let meta = TokenMeta { model: "toy".into(), codebook_size: 1024, frame_rate: 50.0, ..Default::default() };
    TokenFile { codebooks: 3, frames, codes, meta }
}

fn utterance(id: &str) -> Utterance {
    Utterance {
        text: Some(format!("text of {id}")),
        speaker: Some("anna".into()),
        ..Utterance::whole_file(id, format!("data/{id}.wav"))
    }
}

/// Writes a shard of three utterances and a failure; returns its folder.
fn write(format: ShardFormat, code_type: CodeType) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let name = ShardName::numbered(7);
    let mut shard = ShardWriter::create(folder.path(), name, format, code_type).expect("a shard");
    for (n, id) in ["a", "x/b", "v1.2"].into_iter().enumerate() {
        shard.push(&utterance(id), tokens(40 + n, n as u16)).expect("room");
    }
    shard.push_failure(&utterance("broken"), "no sound");
    let summary = shard.finish().expect("a shard");
    assert_eq!((summary.utterances, summary.frames, summary.failures.len()), (3, 123, 1));
    assert!((summary.seconds - 123.0 / 50.0).abs() < 1e-9);
    let found = ShardSummary::read(folder.path(), &ShardName::numbered(7)).expect("a note");
    assert_eq!(found, Some(summary));
    assert_eq!(ShardSummary::read(folder.path(), &ShardName::numbered(8)).expect("no note"), None);
    folder
}

fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(File::open(path).expect("a tar"));
    let member = |mut entry: tar::Entry<'_, File>| {
        let mut data = Vec::new();
        entry.read_to_end(&mut data).expect("a member");
        (entry.path().expect("a name").to_string_lossy().into_owned(), data)
    };
    archive.entries().expect("members").map(|e| member(e.expect("a member"))).collect()
}

fn json(data: &[u8]) -> serde_json::Value {
    serde_json::from_slice(data).expect("JSON")
}

#[test]
fn a_shar_holds_cuts_and_arrays_in_pairs() {
    for (code_type, descr) in [(CodeType::U16, "<u2"), (CodeType::I32, "<i4"), (CodeType::I64, "<i8")] {
        let folder = write(ShardFormat::Shar, code_type);
        let data = folder.path().join(DATA);
        let found = members(&data.join("target_codes.000007.tar"));
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.npy", "a.json", "x/b.npy", "x/b.json", "v1.2.npy", "v1.2.json"]);
        assert!(String::from_utf8_lossy(&found[0].1).contains(descr));
        let back = TokenFile::from_bytes(FileFormat::Npy, &found[2].1).expect("an array");
        assert_eq!((back.codebooks, back.frames, back.codes), (3, 41, tokens(41, 1).codes));
        let array = json(&found[3].1);
        assert_eq!(
            (&array["array"]["shape"], &array["temporal_dim"]),
            (&serde_json::json!([3, 41]), &1.into())
        );
        assert_eq!(array["frame_shift"], 0.02);
        let mut text = String::new();
        let cuts = File::open(data.join("cuts.000007.jsonl.gz")).expect("cuts");
        GzDecoder::new(cuts).read_to_string(&mut text).expect("text");
        let cuts: Vec<_> = text.lines().map(|l| json(l.as_bytes())).collect();
        assert_eq!((cuts.len(), &cuts[1]["id"]), (3, &"x/b".into()));
        assert_eq!(cuts[2]["supervisions"][0]["text"], "text of v1.2");
        assert_eq!(cuts[2]["supervisions"][0]["speaker"], "anna");
        // Anything else in this folder would be a field of the cuts to the reader.
        assert_eq!(fs::read_dir(&data).expect("a folder").count(), 2);
        assert_eq!(fs::read_dir(folder.path().join(TEMPORARY)).expect("a folder").count(), 0);
    }
}

#[test]
fn a_webdataset_holds_codes_and_metadata_by_key() {
    let folder = write(ShardFormat::WebDataset, CodeType::U16);
    let found = members(&folder.path().join(DATA).join("shard-000007.tar"));
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.npy", "a.json", "x/b.npy", "x/b.json", "v1%2E2.npy", "v1%2E2.json"]);
    let meta = json(&found[5].1);
    assert_eq!(
        (&meta["id"], &meta["text"], &meta["duration"]),
        (&"v1.2".into(), &"text of v1.2".into(), &0.84.into())
    );
    let back = TokenFile::from_bytes(FileFormat::Npy, &found[4].1).expect("an array");
    assert_eq!(back.codes, tokens(42, 2).codes);
}

#[test]
fn a_parquet_holds_a_row_for_each() {
    for (code_type, code) in [
        (CodeType::U16, Field::UShort as fn(u16) -> Field),
        (CodeType::I32, |c| Field::Int(c.into())),
        (CodeType::I64, |c| Field::Long(c.into())),
    ] {
        let folder = write(ShardFormat::Parquet, code_type);
        let file = File::open(folder.path().join(DATA).join("shard-000007.parquet")).expect("a file");
        let reader = SerializedFileReader::new(file).expect("a parquet");
        let rows: Vec<Row> = reader.into_iter().map(|r| r.expect("a row")).collect();
        let names: Vec<_> = rows[0].get_column_iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["id", "codes", "frame_rate", "duration", "text", "speaker"]);
        assert_eq!((rows.len(), rows[2].get_string(0).expect("a text").as_str()), (3, "v1.2"));
        assert_eq!(rows[0].get_string(4).expect("a text"), "text of a");
        assert!((rows[2].get_double(3).expect("a number") - 0.84).abs() < 1e-12);
        let codebooks = rows[1].get_list(1).expect("codes");
        assert_eq!(codebooks.len(), 3);
        let second = codebooks.get_list(1).expect("a codebook").elements();
        let expected: Vec<_> = tokens(41, 1).codes[41..82].iter().map(|&c| code(c)).collect();
        assert_eq!(second, expected);
    }
}

#[test]
fn a_parquet_holds_rows_without_text_and_without_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = ShardName::numbered(0);
    let mut shard =
        ShardWriter::create(folder.path(), name, ShardFormat::Parquet, CodeType::U16).expect("a shard");
    for (id, tokens) in [("empty", tokens(0, 0)), ("none", TokenFile::default()), ("full", tokens(2, 0))] {
        shard.push(&Utterance::whole_file(id, "x.wav"), tokens).expect("room");
    }
    shard.finish().expect("a shard");
    let file = File::open(folder.path().join(DATA).join("shard-000000.parquet")).expect("a file");
    let rows: Vec<Row> =
        SerializedFileReader::new(file).expect("a parquet").into_iter().map(|r| r.expect("a row")).collect();
    let lengths = |row: &Row| -> Vec<usize> {
        let codes = row.get_list(1).expect("codes");
        (0..codes.len()).map(|k| codes.get_list(k).expect("a codebook").len()).collect()
    };
    assert_eq!(rows.iter().map(lengths).collect::<Vec<_>>(), [vec![0; 3], vec![], vec![2; 3]]);
    assert!(rows[0].get_column_iter().any(|(name, value)| name == "text" && *value == Field::Null));
}

#[test]
fn the_same_utterances_are_the_same_bytes() {
    for format in ShardFormat::ALL {
        let (first, second) = (write(format, CodeType::U16), write(format, CodeType::U16));
        for entry in fs::read_dir(first.path().join(DATA)).expect("a folder") {
            let path = entry.expect("a file").path();
            let other = second.path().join(DATA).join(path.file_name().expect("a name"));
            assert!(fs::read(&path).expect("a file") == fs::read(other).expect("a file"), "{path:?}");
        }
    }
}

#[test]
fn codes_of_ten_bits_take_ten_bits_in_parquet() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = ShardName::new("big-1").expect("a name");
    let mut shard =
        ShardWriter::create(folder.path(), name, ShardFormat::Parquet, CodeType::I64).expect("a shard");
    let mut state = 1u32;
    let mut tokens = tokens(40_000, 0);
    tokens.codes.iter_mut().for_each(|c| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *c = (state >> 22) as u16;
    });
    shard.push(&utterance("a"), tokens).expect("room");
    let bytes = shard.finish().expect("a shard").bytes;
    let bits = bytes as f64 * 8.0 / 120_000.0;
    assert!(bits < 11.0, "{bits} bits a code");
}

#[test]
fn an_unfinished_or_empty_shard_is_no_shard() {
    let folder = tempfile::tempdir().expect("a folder");
    let create = |n| {
        ShardWriter::create(folder.path(), ShardName::numbered(n), ShardFormat::Shar, CodeType::U16)
            .expect("a shard")
    };
    let mut dropped = create(0);
    dropped.push(&utterance("a"), tokens(5, 0)).expect("room");
    drop(dropped);
    let mut empty = create(1);
    empty.push_failure(&utterance("a"), "no sound");
    assert_eq!(empty.finish().expect("a note").files, Vec::<String>::new());
    assert_eq!(fs::read_dir(folder.path().join(DATA)).expect("a folder").count(), 0);
    assert_eq!(fs::read_dir(folder.path().join(TEMPORARY)).expect("a folder").count(), 0);
    for name in ["", "../x", "a b", &"x".repeat(65)] {
        assert!(ShardName::new(name).is_err(), "{name:?}");
    }
}
