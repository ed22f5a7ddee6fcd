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

/// An encoding of a WAV file on stdin that goes on as long as it is read, once it has begun to write.
fn endless(
    folder: &std::path::Path,
    out: &std::path::Path,
) -> (std::process::Child, std::process::ChildStdin) {
    let mut child = siskin()
        .args(["encode", "-y", "--frames-per-packet", "1", "-", text(out)])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let source = folder.join("in.wav");
    wav(&source, &voice(240_000, 24_000), 24_000, 1);
    let mut data = fs::read(&source).expect("a file");
    data[4..8].fill(0xff);
    data[40..44].fill(0xff);
    stdin.write_all(&data).expect("it reads");
    let is_part = |e: std::io::Result<fs::DirEntry>| {
        e.expect("an entry").file_name().to_string_lossy().ends_with(".part")
    };
    while !fs::read_dir(folder).expect("a folder").any(is_part) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    (child, stdin)
}

#[test]
fn a_signal_leaves_nothing_and_its_usual_code() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let folder = folder();
        let out = folder.path().join("out.mka");
        let (child, _stdin) = endless(folder.path(), &out);
        assert!(!out.exists(), "the final name is not there before the end");
        let killed = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(killed.expect("kill").success());
        let result = child.wait_with_output().expect("it ends");
        assert_eq!(result.status.code(), Some(code), "{signal}: {}", stderr(&result));
        assert_files(folder.path(), &["in.wav"]);
    }
}

#[test]
fn a_second_run_to_the_same_output_fails_before_its_work() {
    let folder = folder();
    let out = folder.path().join("out.mka");
    let (child, stdin) = endless(folder.path(), &out);
    let source = folder.path().join("in.wav");
    for _ in 0..2 {
        assert_fails(&run(["encode", "-y", text(&source), text(&out)]), 1, "is being written by another run");
    }
    drop(stdin);
    let first = child.wait_with_output().expect("it ends");
    assert!(first.status.success(), "{}", stderr(&first));
    assert_files(folder.path(), &["in.wav", "out.mka"]);
}

#[test]
fn what_a_killed_run_left_is_in_nobodys_way() {
    let folder = folder();
    let out = folder.path().join("out.mka");
    let (mut child, _stdin) = endless(folder.path(), &out);
    child.kill().expect("SIGKILL");
    child.wait().expect("an end");
    good(["encode", text(&folder.path().join("in.wav")), text(&out)]);
    assert_files(folder.path(), &["in.wav", "out.mka"]);
}

#[test]
fn names_may_be_as_long_as_the_file_system_has_them() {
    let folder = folder();
    coded(folder.path(), 1.0, &[]);
    let source = folder.path().join("in.wav");
    // 250 bytes, of three each.
    let long = folder.path().join(format!("{}.mka", "\u{3042}".repeat(82)));
    good(["encode", text(&source), text(&long)]);
    assert!(!decode(&long, &[]).is_empty());
}

#[test]
fn a_file_that_is_replaced_keeps_its_mode_and_its_other_names() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = folder();
    coded(folder.path(), 1.0, &[]);
    let source = folder.path().join("in.wav");
    let (out, other) = (folder.path().join("out.mka"), folder.path().join("other.mka"));
    fs::write(&out, "old").expect("a file");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o640)).expect("its owner");
    good(["encode", "-y", text(&source), text(&out)]);
    assert_eq!(fs::metadata(&out).expect("a file").permissions().mode() & 0o777, 0o640);
    fs::hard_link(&out, &other).expect("a link");
    fs::write(&out, "old").expect("a file");
    good(["encode", "-y", text(&source), text(&out)]);
    assert_eq!(fs::metadata(&out).expect("a file").nlink(), 2);
    assert!(!decode(&other, &[]).is_empty());
    assert_files(folder.path(), &["in.mka", "in.wav", "other.f32", "other.mka", "out.mka"]);
}

#[test]
fn the_new_file_has_the_usual_rights() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let coded = coded(folder.path(), 1.0, &[]);
    let mode = |p: &std::path::Path| fs::metadata(p).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&coded), mode(&folder.path().join("in.wav")));
}
