//! The manual pages: one for the program and each visible verb, with what the help says.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::*;

#[test]
fn every_visible_verb_has_a_page() {
    let folder = folder();
    good(["man", text(folder.path())]);
    let names = |dir: &std::path::Path| -> BTreeSet<String> {
        let files = dir.read_dir().expect("a folder").map(|e| e.expect("an entry").file_name());
        files.map(|n| n.to_string_lossy().into_owned()).collect()
    };
    let pages = names(folder.path());
    let help = String::from_utf8(good(["--help"])).expect("UTF-8");
    let verbs = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.trim().is_empty());
    // Lines that go on with a description stand farther in.
    let verbs = verbs.filter_map(|l| l.strip_prefix("  ")).filter(|l| !l.starts_with(' '));
    let verbs: Vec<&str> =
        verbs.filter_map(|l| l.split_whitespace().next()).filter(|v| *v != "help").collect();
    assert!(verbs.contains(&"encode") && verbs.contains(&"tokens"), "{verbs:?}");
    for verb in &verbs {
        assert!(pages.contains(&format!("siskin-{verb}.1")), "{verb} of {pages:?}");
    }
    assert!(pages.contains("siskin.1") && pages.contains("siskin-tokens-export.1"), "{pages:?}");
    assert!(!pages.contains("siskin-man.1"), "the verb for packages is hidden");

    let page = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a page");
    let top = page("siskin.1");
    for section in ["NAME", "SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
        assert!(top.contains(section), "{section}: {top}");
    }
    assert!(top.contains("ORT_DYLIB_PATH"));
    let encode = page("siskin-encode.1");
    assert!(encode.contains("siskin encode") || encode.contains("siskin\\-encode"), "{encode}");
    assert!(encode.contains("bitrate"), "{encode}");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    assert_fails(&run(["man", "/no/such/folder"]), 1, "/no/such/folder");
}
