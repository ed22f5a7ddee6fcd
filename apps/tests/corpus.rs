//! `siskin tokens export` to shards: manifests, bytes that do not depend on threads or kills, bad input.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::*;
use siskin_core::corpus::{Failure, ShardName, ShardSummary};
use siskin_core::tokens::{FileFormat, TokenFile};

/// Recordings `00.wav` and on, of a third of a second and more, and a manifest of NeMo for them in another order.
fn recordings(folder: &Path, count: usize) -> std::path::PathBuf {
    let mut lines = String::new();
    for n in (0..count).rev() {
        wav(&folder.join(format!("{n:02}.wav")), &voice(8000 + 500 * n, 24_000), 24_000, 1);
        lines += &format!(
            "{{\"audio_filepath\": \"{n:02}.wav\", \"text\": \"text {n}\", \"speaker\": \"s{}\"}}\n",
            n % 3
        );
    }
    let manifest = folder.join("train.json");
    fs::write(&manifest, lines).expect("a file");
    manifest
}

fn data(corpus: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(corpus.join("data")).expect("a folder").map(|e| e.expect("a file").path());
    let name = |p: &Path| p.file_name().expect("a name").to_string_lossy().into_owned();
    entries.map(|p| (name(&p), fs::read(&p).expect("a file"))).collect()
}

fn failures(corpus: &Path) -> Vec<Failure> {
    let text = fs::read_to_string(corpus.join("failures.jsonl")).expect("failures");
    text.lines().map(|line| serde_json::from_str(line).expect("a failure")).collect()
}

/// The members of a tar by name.
fn members(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let mut found = BTreeMap::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a member");
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut data).expect("a member");
        found.insert(entry.path().expect("a name").to_string_lossy().into_owned(), data);
    }
    found
}

#[test]
fn shards_hold_the_codes_of_single_files_and_what_the_manifest_says() {
    let folder = folder();
    let manifest = recordings(folder.path(), 7);
    let (single, corpus) = (folder.path().join("single"), folder.path().join("corpus"));
    good(["tokens", "export", "-q", "--stages", "2", text(&manifest), text(&single)]);
    let mut args =
        vec!["tokens", "export", "--json", "--stages", "2", "--format", "webdataset", "--shard-size", "3"];
    args.extend([text(&manifest), text(&corpus)]);
    let lines = ndjson(&good(&args));
    let result = lines.last().expect("a result");
    assert_eq!((&result["files"], &result["shards"], &result["failed"]), (&7.into(), &3.into(), &0.into()));
    let shards = data(&corpus);
    assert_eq!(
        shards.keys().collect::<Vec<_>>(),
        ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    );
    let first = members(&shards["shard-000000.tar"]);
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        ["04.json", "04.npy", "05.json", "05.npy", "06.json", "06.npy"]
    );
    for n in 0..7 {
        let shard = members(&shards[&format!("shard-{:06}.tar", (6 - n) / 3)]);
        let id = format!("{n:02}");
        let expected = fs::read(single.join(format!("{id}.safetensors"))).expect("a file");
        let expected = TokenFile::from_bytes(FileFormat::Safetensors, &expected).expect("a token file");
        let codes = TokenFile::from_bytes(FileFormat::Npy, &shard[&format!("{id}.npy")]).expect("an array");
        assert!(codes.codes == expected.codes && codes.frames == expected.frames);
        let meta: serde_json::Value = serde_json::from_slice(&shard[&format!("{id}.json")]).expect("JSON");
        assert_eq!(
            (&meta["text"], &meta["samples"]),
            (&format!("text {n}").into(), &(8000 + 500 * n).into())
        );
        assert_eq!(expected.meta.speaker.as_deref(), Some(format!("s{}", n % 3).as_str()));
    }
    // A second run has nothing to do; another input is refused, and -y makes it anew.
    let again = ndjson(&good(&args));
    assert_eq!(
        (&again.last().expect("a result")["files"], &again.last().expect("a result")["skipped"]),
        (&0.into(), &7.into())
    );
    tells_of_a_corpus(&corpus);
    fs::write(&manifest, "{\"audio_filepath\": \"00.wav\"}\n").expect("a file");
    assert_fails(&run(args.iter().filter(|a| **a != "--json")), 1, "the corpus has 7, this run 1");
    args.push("-y");
    good(&args);
    assert_eq!(data(&corpus).len(), 1);
}

#[test]
fn a_part_beyond_the_end_and_a_name_of_nothing_are_failures() {
    let folder = folder();
    wav(&folder.path().join("a.wav"), &voice(48_000, 24_000), 24_000, 1);
    // By a rounding, by more, and without a name.
    let part = |id: &str, offset: f64, duration: f64| {
        format!(
            "{{\"audio_filepath\": \"a.wav\", \"id\": \"{id}\", \"offset\": {offset}, \"duration\": {duration}}}\n"
        )
    };
    let manifest = folder.path().join("m.json");
    fs::write(&manifest, [part("near", 1.0, 1.1), part("far", 1.0, 30.0), part("", 0.0, 1.0)].concat())
        .expect("a file");
    let corpus = folder.path().join("corpus");
    let output = run(["tokens", "export", "-q", "-f", "webdataset", text(&manifest), text(&corpus)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let errors: Vec<String> = failures(&corpus).into_iter().map(|f| f.error).collect();
    assert!(errors[0].contains("ends 29.00 s before its part from 1 to 31 s"), "{errors:?}");
    assert!(errors[1].contains("the id of entry 3 is empty"), "{errors:?}");
    let shard = fs::read(corpus.join("data/shard-000000.tar")).expect("a shard");
    assert_eq!(members(&shard).keys().collect::<Vec<_>>(), ["near.json", "near.npy"]);
}

/// `tokens info` of the corpus of seven recordings in three shards, whole and without one of its files.
fn tells_of_a_corpus(corpus: &Path) {
    let about = &ndjson(&good(["tokens", "info", "--json", text(corpus)]))[0];
    assert_eq!((&about["type"], &about["format"]), (&"corpus".into(), &"webdataset".into()));
    assert_eq!((&about["ok"], &about["utterances"], &about["failed"]), (&true.into(), &7.into(), &0.into()));
    assert_eq!((&about["shards"], &about["planned_shards"]), (&3.into(), &3.into()));
    // 7 recordings of 8,000 samples and 500 more each.
    assert!((about["seconds"].as_f64().expect("a number") - (7.0 * 8.0 + 10.5) / 24.0).abs() < 1e-6);
    let (shard, aside) = (corpus.join("data/shard-000001.tar"), corpus.join("aside.tar"));
    fs::rename(&shard, &aside).expect("a shard");
    let output = run(["tokens", "info", text(corpus)]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("shard-000001.tar: not there"), "{error}");
    fs::rename(&aside, &shard).expect("a shard");
}

#[test]
fn threads_and_kills_do_not_change_a_byte() {
    let folder = folder();
    let manifest = recordings(folder.path(), 10);
    let export = |out: &Path, jobs: &str| {
        let args =
            ["tokens", "export", "-q", "--stages", "2", "--format", "shar", "--shard-size", "2", "--jobs"];
        let mut command = siskin();
        command.args(args).args([jobs, text(&manifest), text(out)]).stderr(Stdio::piped());
        command
    };
    let whole = folder.path().join("whole");
    assert!(export(&whole, "1").status().expect("a run").success());
    let (threads, killed) = (folder.path().join("threads"), folder.path().join("killed"));
    assert!(export(&threads, "3").status().expect("a run").success());
    assert!(data(&threads) == data(&whole));
    // Killed again and again, each time as soon as another shard is there.
    for shard in 0..3 {
        let mut child = export(&killed, "2").spawn().expect("a run");
        let started = Instant::now();
        let name = ShardName::numbered(shard);
        while ShardSummary::read(&killed, &name).ok().flatten().is_none() {
            assert!(started.elapsed() < Duration::from_secs(120), "no shard");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().expect("it runs, or has ended");
        child.wait().expect("an end");
    }
    assert!(data(&killed).len() >= 6);
    assert!(export(&killed, "2").status().expect("a run").success());
    assert!(data(&killed) == data(&whole));
    for name in ["index.json", "failures.jsonl"] {
        assert_eq!(fs::read(killed.join(name)).expect("a file"), fs::read(whole.join(name)).expect("a file"));
    }
}

#[test]
fn what_cannot_be_encoded_is_listed_and_the_rest_is_done() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    recordings(folder.path(), 2);
    wav(&path("silent.wav"), &vec![0.0; 24_000], 24_000, 1);
    wav(&path("empty.wav"), &[], 24_000, 1);
    fs::write(path("broken.flac"), "fLaC and nothing").expect("a file");
    let cut = fs::read(path("01.wav")).expect("a file");
    fs::write(path("cut.wav"), &cut[..cut.len() / 2]).expect("a file");
    let lines = "00.wav silent.wav empty.wav broken.flac cut.wav missing.wav"
        .split(' ')
        .map(|name| format!("{{\"audio_filepath\": \"{name}\"}}\n"))
        .collect::<String>();
    let lines = lines + "{\"audio_filepath\": 7}\n{\"audio_filepath\": \"01.wav\"}\n";
    fs::write(path("train.json"), lines).expect("a file");
    let corpus = path("corpus");
    let mut args = vec![
        "tokens",
        "export",
        "--json",
        "--stages",
        "2",
        "--format",
        "parquet",
        "--shard-size",
        "5",
        "--jobs",
        "3",
    ];
    let manifest = path("train.json");
    args.extend([text(&manifest), text(&corpus)]);
    let output = run(&args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let lines = ndjson(&output.stdout);
    assert_eq!(lines.iter().filter(|l| l["type"] == "warning").count(), 6);
    let found: Vec<_> =
        failures(&corpus).into_iter().map(|f| (f.id.unwrap_or_default(), f.shard, f.error)).collect();
    let expected = [
        ("silent", "000000", "holds only digital silence"),
        ("empty", "000000", ""),
        ("broken", "000000", "broken.flac"),
        ("cut", "000000", "cut.wav"),
        ("missing", "000001", "missing.wav"),
        ("line 7", "000001", "line 7: bad audio_filepath: 7"),
    ];
    for ((id, shard, error), (wanted_id, wanted_shard, part)) in found.iter().zip(expected) {
        assert!(id == wanted_id && shard == wanted_shard && error.contains(part), "{id} {shard}: {error}");
    }
    assert_eq!((found.len(), data(&corpus).len()), (expected.len(), 2));
    // Repaired, and tried again: only what failed before changes.
    wav(&path("missing.wav"), &voice(6000, 24_000), 24_000, 1);
    args.push("--retry-failed");
    run(&args);
    assert_eq!(failures(&corpus).len(), 5);
    args.extend(["--keep-silence", "-y"]);
    run(&args);
    assert!(failures(&corpus).iter().all(|f| f.id.as_deref() != Some("silent")));
    assert_fails(
        &run(["tokens", "export", "--retry-failed", text(&manifest), text(&path("x"))]),
        2,
        "is for --format shar",
    );
    assert_fails(
        &run(["tokens", "export", "--format", "shar", text(&path("00.wav")), "-"]),
        1,
        "writes a folder",
    );
}

#[test]
fn parts_and_channels_of_a_file_are_those_of_the_whole() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let (left, right) = (voice(48_000, 24_000), voice(60_000, 24_000));
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 24_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut stereo = hound::WavWriter::create(path("talk.wav"), spec).expect("a file");
    for (&a, &b) in left.iter().zip(&right[12_000..]) {
        stereo
            .write_sample((a * 32_767.0) as i16)
            .and_then(|()| stereo.write_sample((b * 32_767.0) as i16))
            .expect("room");
    }
    stereo.finalize().expect("a file");
    // Segments out of order too: the file is then read from its start again. The last one ends .3 s behind it, as rounded ones do.
    let segments = [("a", 0.25, 1.0, 0), ("b", 1.0, 0.5, 0), ("c", 0.5, 0.75, 1), ("d", 1.5, 0.8, 1)];
    let mut lines = String::new();
    for (id, start, duration, channel) in segments {
        lines += &format!(
            "{{\"id\": \"{id}\", \"start\": {start}, \"duration\": {duration}, \"channel\": {channel}, \"supervisions\": [], \
             \"type\": \"MonoCut\", \"recording\": {{\"id\": \"r\", \"sources\": [{{\"type\": \"file\", \"channels\": [0, 1], \
             \"source\": \"talk.wav\"}}], \"sampling_rate\": 24000, \"num_samples\": 48000, \"duration\": 2.0}}}}\n"
        );
        let (sound, last) = (if channel == 0 { &left[..] } else { &right[12_000..] }, start + duration);
        let range = (start * 24_000.0) as usize..((last * 24_000.0) as usize).min(48_000);
        wav(&path(&format!("{id}.wav")), &sound[range], 24_000, 1);
    }
    fs::write(path("cuts.jsonl"), lines).expect("a file");
    good([
        "tokens",
        "export",
        "-q",
        "--stages",
        "2",
        "--format",
        "npy",
        text(&path("cuts.jsonl")),
        text(&path("parts")),
    ]);
    for (id, ..) in segments {
        let expected = path(&format!("{id}.npy"));
        good(["tokens", "export", "-q", "--stages", "2", text(&path(&format!("{id}.wav"))), text(&expected)]);
        let found = fs::read(path("parts").join(format!("{id}.npy"))).expect("a file");
        assert!(found == fs::read(expected).expect("a file"), "{id}");
    }
}

#[test]
fn a_full_disk_keeps_what_is_finished_and_lists_the_rest() {
    let folder = folder();
    let manifest = recordings(folder.path(), 12);
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    // A file system of its own, gone with the process: beside the 64 kB that are kept for the index, six shards of 8 kB do not fit.
    let script = format!(
        "mount -t tmpfs -o size=120k,nr_inodes=200 tmpfs {disk} || exit 77; {program} tokens export -q --stages 9 --format webdataset \
         --shard-size 2 {manifest} {disk}/corpus; code=$?; cp -r {disk}/corpus {folder}/left; exit $code",
        disk = text(&disk),
        program = env!("CARGO_BIN_EXE_siskin"),
        manifest = text(&manifest),
        folder = text(folder.path()),
    );
    let output = std::process::Command::new("unshare").args(["-rm", "sh", "-c", &script]).output();
    let Ok(output) = output else { return eprintln!("skipped: no unshare") };
    if matches!(output.status.code(), Some(77)) || stderr(&output).contains("unshare") {
        return eprintln!("skipped: {}", stderr(&output));
    }
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let left = folder.path().join("left");
    let (kept, lost) = (data(&left), failures(&left));
    assert!(!kept.is_empty() && !lost.is_empty() && kept.len() + lost.len() == 6, "{kept:?} {lost:?}");
    assert!(lost[0].error.contains("No space left") && lost[0].id.is_none(), "{:?}", lost[0]);
    assert!(lost[1..].iter().all(|f| f.error.contains("not begun")), "{lost:?}");
    // With room it goes on from there.
    let args = ["tokens", "export", "-q", "--stages", "9", "--format", "webdataset", "--shard-size", "2"];
    good(args.iter().copied().chain([text(&manifest), text(&left)]));
    assert_eq!((data(&left).len(), failures(&left).len()), (6, 0));
    assert!(kept.iter().all(|(name, bytes)| data(&left)[name] == *bytes));
}
