//! Where output goes: overwriting, temporary files, interrupts.

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::*;

#[test]
fn an_existing_output_is_kept_unless_asked() {
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let source = folder.path().join("in.wav");
    let before = fs::read(&coded).expect("a file");
    fs::write(&coded, "mine").expect("a file");
    for option in ["-n", "-q"] {
        assert_fails(&run(["encode", option, text(&source), text(&coded)]), 1, "exists already");
        assert_eq!(fs::read(&coded).expect("a file"), b"mine");
    }
    assert_eq!(run(["encode", "-y", "-n", text(&source), text(&coded)]).status.code(), Some(2));
    good(["encode", "-y", text(&source), text(&coded)]);
    assert_eq!(fs::read(&coded).expect("a file"), before);
    assert_files(folder.path(), &["in.mka", "in.wav"]);
}

#[test]
fn output_names_that_cannot_be() {
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let source = folder.path().join("in.wav");
    let encode = |out: &str| run(["encode", "-y", text(&source), out]);
    assert_fails(&encode(text(&source)), 2, "name it .mka or .mkv");
    assert_fails(&encode("out.wav"), 2, "name it .mka or .mkv");
    assert_fails(&encode(text(&folder.path().join("none/out.mka"))), 1, "cannot create");
    fs::create_dir(folder.path().join("d.mka")).expect("a folder");
    assert_fails(&encode(text(&folder.path().join("d.mka"))), 2, "is a folder");
    assert_fails(&run(["encode", "-y", text(&coded), text(&coded)]), 2, "is coded already");
    let copy = folder.path().join("copy.wav");
    fs::copy(&coded, &copy).expect("a copy");
    assert_fails(&run(["decode", "-y", text(&copy), text(&copy)]), 2, "is both input and output");
}

#[test]
fn a_link_and_a_device_stay_what_they_are() {
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let (real, link) = (folder.path().join("real.wav"), folder.path().join("link.wav"));
    fs::write(&real, "old").expect("a file");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    good(["decode", "-y", text(&coded), text(&link)]);
    assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    assert!(fs::metadata(&real).expect("a file").len() > 1000);
    good(["decode", "-y", text(&coded), "/dev/null"]);
    good(["encode", "-y", text(&folder.path().join("in.wav")), "/dev/null"]);
    assert!(!fs::metadata("/dev/null").expect("the device").is_file());
}

#[test]
fn an_interrupt_leaves_nothing() {
    let folder = folder();
    let out = folder.path().join("out.mka");
    let mut child = siskin()
        .args(["encode", "--frame-size", "1", "-", text(&out)])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A WAV file that goes on as long as it is read.
    let mut stdin = child.stdin.take().expect("a pipe");
    let source = folder.path().join("in.wav");
    wav(&source, &voice(240_000, 24_000), 24_000, 1);
    let mut data = fs::read(&source).expect("a file");
    data[4..8].fill(0xff);
    data[40..44].fill(0xff);
    stdin.write_all(&data).expect("it reads");
    while fs::read_dir(folder.path()).expect("a folder").count() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!out.exists(), "the final name is not there before the end");
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill").success());
    let result = child.wait_with_output().expect("it ends");
    assert_eq!(result.status.code(), Some(130), "{}", stderr(&result));
    assert_files(folder.path(), &["in.wav"]);
}

#[test]
fn the_new_file_has_the_usual_rights() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let mode = |p: &std::path::Path| fs::metadata(p).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&coded), mode(&folder.path().join("in.wav")));
}
