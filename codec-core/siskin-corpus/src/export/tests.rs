#![allow(clippy::panic, reason = "an encoder that panics is what is tested")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use siskin_audio::tokens::{CodeType, TokenFile, TokenMeta};

use super::*;
use crate::shard::{DATA, ShardFormat, TEMPORARY};

fn utterances(count: usize) -> Vec<Utterance> {
    let utterance = |n: usize| match n {
        5 => Utterance::refused("5", "is a command"),
        n => Utterance {
            text: Some(format!("text {n}")),
            ..Utterance::whole_file(n.to_string(), format!("{n}.wav"))
        },
    };
    (0..count).map(utterance).collect()
}

fn spec(utterances: &[Utterance]) -> Spec {
    Spec::new(ShardFormat::WebDataset, 4, CodeType::U16, utterances).expect("a size")
}

/// Codes that follow from the id; number 9 is broken.
fn encode(utterance: &Utterance) -> std::result::Result<Encoded, Fault<Error>> {
    let n: usize = utterance.id.parse().expect("a number");
    std::thread::sleep(std::time::Duration::from_millis(n as u64 * 3 % 7));
    if n == 9 {
        return Err(Fault::Utterance("no sound".into()));
    }
    let meta = TokenMeta { frame_rate: 50.0, codebook_size: 1024, ..Default::default() };
    Ok(TokenFile { codebooks: 1, frames: n + 1, codes: vec![n as u16; n + 1], meta }.into())
}

fn run(folder: &Path, utterances: &[Utterance], workers: usize, retry: bool) -> Result<Totals> {
    let export = Export::open(folder, spec(utterances), utterances.to_vec(), false, retry)?;
    export.run(workers, || Ok(()), |(), u| encode(u), |_| Ok(()))
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |e: &fs::DirEntry| e.file_name().to_string_lossy().into_owned();
    let entries = fs::read_dir(folder.join(DATA)).expect("a folder").map(|e| e.expect("a file"));
    entries.map(|e| (name(&e), fs::read(e.path()).expect("a file"))).collect()
}

#[test]
fn threads_do_not_change_a_byte() {
    let all = utterances(18);
    let one = tempfile::tempdir().expect("a folder");
    let totals = run(one.path(), &all, 1, false).expect("a run");
    assert_eq!((totals.utterances, totals.failed, totals.shards), (16, 2, 5));
    for workers in [2, 5] {
        let other = tempfile::tempdir().expect("a folder");
        assert_eq!(run(other.path(), &all, workers, false).expect("a run"), totals);
        assert!(files(other.path()) == files(one.path()));
        for name in ["index.json", "failures.jsonl", "export.json"] {
            let read = |folder: &Path| fs::read_to_string(folder.join(name)).expect("a file");
            assert_eq!(read(one.path()), read(other.path()));
        }
    }
    let failures = fs::read_to_string(one.path().join("failures.jsonl")).expect("failures");
    let failures: Vec<Failure> =
        failures.lines().map(|l| serde_json::from_str(l).expect("a failure")).collect();
    let failure = |id: &str, input: Option<&str>, shard: &str, error: &str| Failure {
        id: Some(id.into()),
        input: input.map(Into::into),
        shard: shard.into(),
        error: error.into(),
    };
    assert_eq!(
        failures,
        [failure("5", None, "000001", "is a command"), failure("9", Some("9.wav"), "000002", "no sound")]
    );
}

#[test]
fn a_run_that_stops_anywhere_goes_on_to_the_same_bytes() {
    let all = utterances(18);
    let whole = tempfile::tempdir().expect("a folder");
    run(whole.path(), &all, 2, false).expect("a run");
    for stop in [0, 3, 4, 9, 17] {
        let folder = tempfile::tempdir().expect("a folder");
        let export = Export::open(folder.path(), spec(&all), all.clone(), false, false).expect("a folder");
        let stopped: Result<Totals> = export.run(
            3,
            || Ok(()),
            |(), u| encode(u),
            |event| match event {
                Event::Progress { done, .. } if done > stop => Err(Error::Stopped),
                _ => Ok(()),
            },
        );
        assert!(matches!(stopped, Err(Error::Stopped)));
        // What a killed process leaves.
        fs::write(folder.path().join(TEMPORARY).join(".tmpx"), "half a shard").expect("a file");
        let left = files(folder.path());
        assert_eq!(left.len(), (stop + 1) / 4 + usize::from(stop == 17));
        let done = AtomicUsize::new(0);
        let export = Export::open(folder.path(), spec(&all), all.clone(), false, false).expect("a folder");
        let counted = |(): &mut (), u: &Utterance| {
            done.fetch_add(1, Ordering::SeqCst);
            encode(u)
        };
        let totals = export.run(2, || Ok::<_, Error>(()), counted, |_| Ok(())).expect("a run");
        assert_eq!(totals.utterances + totals.skipped, 16);
        assert!(
            done.into_inner() <= 18usize.saturating_sub(4 * left.len()),
            "finished shards are not made again"
        );
        assert!(files(folder.path()) == files(whole.path()), "after {stop}");
        let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).expect("a file");
        for name in ["index.json", "failures.jsonl"] {
            assert_eq!(read(folder.path(), name), read(whole.path(), name));
        }
        assert_eq!(fs::read_dir(folder.path().join(TEMPORARY)).expect("a folder").count(), 0);
    }
}

#[test]
fn failures_are_kept_and_tried_again_on_request() {
    let (all, folder) = (utterances(12), tempfile::tempdir().expect("a folder"));
    run(folder.path(), &all, 2, false).expect("a run");
    let again = run(folder.path(), &all, 2, false).expect("a run");
    assert_eq!((again.shards, again.skipped, again.failed), (0, 10, 2));
    let retried = run(folder.path(), &all, 2, true).expect("a run");
    assert_eq!((retried.shards, retried.failed), (2, 2));
    // Repaired meanwhile.
    let export = Export::open(folder.path(), spec(&all), all.clone(), false, true).expect("a folder");
    let repaired = |(): &mut (), u: &Utterance| {
        let meta = TokenMeta { frame_rate: 50.0, ..Default::default() };
        Ok(TokenFile { codebooks: 1, frames: 1, codes: vec![u.id.len() as u16], meta }.into())
    };
    let totals = export.run(1, || Ok::<_, Error>(()), repaired, |_| Ok(())).expect("a run");
    // A command stays one.
    assert_eq!((totals.shards, totals.failed), (2, 1));
}

#[test]
fn another_corpus_is_not_mixed_in() {
    let (all, folder) = (utterances(8), tempfile::tempdir().expect("a folder"));
    run(folder.path(), &all, 1, false).expect("a run");
    let mut other = all.clone();
    other[3].text = Some("another text".into());
    let error = run(folder.path(), &other, 1, false).expect_err("another input").to_string();
    assert!(error.contains("bad input"), "{error}");
    let error = run(folder.path(), &all[..7], 1, false).expect_err("fewer").to_string();
    assert!(error.contains("bad utterances: the corpus has 8, this run 7"), "{error}");
    let export = Export::open(folder.path(), spec(&other), other.clone(), true, false).expect("anew");
    assert_eq!((export.due().len(), files(folder.path()).len()), (2, 0));
    // At work: a second run is refused until the first has ended.
    let error = Export::open(folder.path(), spec(&other), other.clone(), false, false)
        .err()
        .expect("locked")
        .to_string();
    assert!(error.contains("another run is at work here"), "{error}");
    drop(export);
    let foreign = tempfile::tempdir().expect("a folder");
    fs::create_dir(foreign.path().join(DATA)).expect("a folder");
    fs::write(foreign.path().join(DATA).join("thesis.tex"), "years of work").expect("a file");
    for anew in [false, true] {
        let error = Export::open(foreign.path(), spec(&all), all.clone(), anew, false)
            .err()
            .expect("foreign")
            .to_string();
        assert!(error.contains("holds files"), "{error}");
    }
    assert!(foreign.path().join(DATA).join("thesis.tex").exists());
}

#[test]
fn damaged_notes_are_told_with_their_file() {
    let (all, folder) = (utterances(8), tempfile::tempdir().expect("a folder"));
    run(folder.path(), &all, 1, false).expect("a run");
    fs::write(folder.path().join("state/000001.json"), "{\"shard\": 7").expect("a file");
    let error = run(folder.path(), &all, 1, false).expect_err("damaged").to_string();
    assert!(error.contains("000001.json: bad summary"), "{error}");
    fs::write(folder.path().join("export.json"), "[]").expect("a file");
    let error = run(folder.path(), &all, 1, false).expect_err("damaged").to_string();
    assert!(error.contains("export.json: bad export"), "{error}");
}

#[test]
fn a_panic_is_a_failure_of_its_utterance() {
    let (all, folder) = (utterances(8), tempfile::tempdir().expect("a folder"));
    let export = Export::open(folder.path(), spec(&all), all.clone(), false, false).expect("a folder");
    let encode = |(): &mut (), u: &Utterance| if u.id == "2" { panic!("a fault") } else { encode(u) };
    let totals = export.run(2, || Ok::<_, Error>(()), encode, |_| Ok(())).expect("a run");
    assert_eq!((totals.utterances, totals.failed), (6, 2));
}

#[test]
fn a_shard_that_cannot_be_written_is_listed_and_the_others_are_made() {
    let (all, folder) = (utterances(12), tempfile::tempdir().expect("a folder"));
    let export = Export::open(folder.path(), spec(&all), all.clone(), false, false).expect("a folder");
    // A folder lies where the second shard's file should go.
    let blocked = folder.path().join(DATA).join("shard-000001.tar");
    fs::create_dir(&blocked).expect("a folder");
    let totals = export.run(2, || Ok::<_, Error>(()), |(), u| encode(u), |_| Ok(())).expect("a run");
    assert_eq!((totals.shards, totals.utterances), (2, 7));
    let failures = fs::read_to_string(folder.path().join("failures.jsonl")).expect("failures");
    assert!(failures.lines().last().expect("a line").contains("\"shard\":\"000001\""), "{failures}");
    fs::remove_dir(&blocked).expect("a folder");
    let after = run(folder.path(), &all, 1, false).expect("a run");
    assert_eq!((after.shards, after.failed), (1, 2));
}

#[test]
fn shards_of_other_machines_are_collected() {
    let (all, folder, whole) =
        (utterances(12), tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    run(whole.path(), &all, 1, false).expect("a run");
    let export = Export::open(folder.path(), spec(&all), all.clone(), false, false).expect("a folder");
    assert_eq!(export.due(), [0, 1, 2]);
    // Twice, as where a machine was thought dead: the second writer replaces the files by the same ones.
    for number in [2, 0, 2] {
        let (format, name) = (ShardFormat::WebDataset, ShardName::numbered(number));
        let mut shard = ShardWriter::create(folder.path(), name, format, CodeType::U16).expect("a shard");
        for utterance in export.shard(number) {
            match encode(utterance) {
                Ok(encoded) => shard.push(utterance, encoded).expect("room"),
                Err(Fault::Utterance(reason)) => drop(shard.push_failure(utterance, reason)),
                Err(Fault::Run(error)) => panic!("{error}"),
            }
        }
        shard.finish().expect("a shard");
    }
    let lost = BTreeMap::from([(1, "the machine is gone".to_owned())]);
    let totals = export.collect(&lost).expect("an index");
    assert_eq!((totals.shards, totals.utterances, totals.failed), (2, 7, 2));
    let failures = fs::read_to_string(folder.path().join("failures.jsonl")).expect("failures");
    assert!(failures.contains("the machine is gone"), "{failures}");
    run(folder.path(), &all, 2, false).expect("a run");
    assert!(files(folder.path()) == files(whole.path()));
}
