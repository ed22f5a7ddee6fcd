use std::time::{Duration, Instant};

use zip::CompressionMethod;

use super::{Pickle, archive, floats, write_archive};
use crate::checkpoint::torch::read_archive;

/// What reading the archive says; it has to be refused, and soon.
fn refusal(archive: &[u8]) -> String {
    let begun = Instant::now();
    let refused = read_archive(archive).expect_err("a refusal");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?} for {refused}", begun.elapsed());
    refused
}

#[track_caller]
fn assert_refused(pickle: &[u8], storages: &[(&str, &[u8])], says: &str) {
    let reason = refusal(&archive(pickle, storages));
    assert!(reason.contains(says), "{reason}");
}

#[test]
fn what_a_pickle_would_call_is_refused_by_its_name() {
    let call = Pickle::new().global("os", "system").code(b"(").text("true").code(b"tR").end();
    assert_refused(&call, &[], "offset 2: os.system is no part of a tensor");
    // The same by protocol 4, whose names are on the stack.
    let call = Pickle::new().text("builtins").text("eval").code([0x93]).end();
    assert_refused(&call, &[], "builtins.eval");
    let call = Pickle::new().global("torch._utils", "_rebuild_device_tensor_from_numpy").end();
    assert_refused(&call, &[], "torch._utils._rebuild_device_tensor_from_numpy");
    // Calls of the allowed names with what they do not take.
    let call = Pickle::new().global("collections", "OrderedDict").code(b"(K\x01tR").end();
    assert_refused(&call, &[], "a call that builds no tensor");
    let call = Pickle::new().global("torch", "FloatStorage").code(b")R").end();
    assert_refused(&call, &[], "a call that builds no tensor");
}

#[test]
fn instructions_of_no_checkpoint_are_refused_with_their_offset() {
    // INST, OBJ, NEWOBJ, EXT1, POP, DUP, FLOAT as a text, INT as a text, STRING, PERSID, GET, NEXT_BUFFER, and what is none.
    for code in [b'i', b'o', 0x81, 0x82, b'0', b'2', b'F', b'I', b'S', b'P', b'g', 0x97, 0xff, 0x00] {
        let pickle = Pickle::new().code(b"N").code([code]).end();
        assert_refused(&pickle, &[], &format!("offset 3: instruction {code:#04x} is none of a checkpoint"));
    }
}

#[test]
fn stacks_that_do_not_fit_are_refused() {
    let cases: [(&[u8], &str); 14] = [
        (b".", "an empty stack"),
        (b"u.", "no mark"),
        (b"(u.", "items for no dictionary"),
        (b"}(K\x01u.", "a key without a value"),
        (b"Na.", "items for no list"),
        (b"a.", "an empty stack"),
        (b"h\x05.", "memo 5 is empty"),
        (b"Nr\xff\xff\xff\xff.", "memo 4294967295"),
        (b"q\x00.", "an empty stack"),
        (b"\x86.", "an empty stack"),
        (b"X\xff\xff\xff\x7fabc.", "ends too early"),
        (b"X\x02\x00\x00\x00\xff\xfe.", "utf-8"),
        (b"\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01.", "more than 64 bits"),
        (b"(NQ.", "a persistent id that is no tuple"),
    ];
    for (code, says) in cases {
        assert_refused(&Pickle::new().code(code).0, &[], says);
    }
}

#[test]
fn tensors_beyond_their_storages_are_refused() {
    let refuse = |[count, offset]: [i64; 2], shape: &[i64], strides: &[i64], says: &str| {
        let pickle =
            Pickle::new().dict(|p| p.text("w").tensor("FloatStorage", "0", [count, offset], shape, strides));
        assert_refused(&pickle.end(), &[("0", &floats(&[0.0; 8]))], says);
    };
    refuse([9, 0], &[9], &[1], "tensor w: 9 numbers, its file holds 32 bytes");
    refuse([8, 0], &[9], &[1], "tensor w: shape [9], its storage holds 8 numbers");
    refuse([8, 1], &[8], &[1], "reaches beyond its storage");
    refuse([8, 0], &[4], &[3], "reaches beyond its storage");
    // A stride of nothing, and numbers that overflow.
    refuse([8, 0], &[1_000_000_000], &[0], "shape [1000000000]");
    refuse([8, 0], &[i64::MAX, i64::MAX], &[0, 0], "its storage holds 8 numbers");
    refuse([8, 0], &[2], &[i64::MAX], "reaches beyond its storage");
    refuse([8, i64::MAX], &[2], &[1], "reaches beyond its storage");
    refuse([8, 0], &[-1], &[1], "-1 where a count stands");
    refuse([8, 0], &[2, 2], &[1], "with strides");
    refuse([8, 0], &[1; 9], &[1; 9], "with strides");
    refuse([-8, 0], &[1], &[1], "-8 where a count stands");
    let absent = Pickle::new().dict(|p| p.text("w").tensor("FloatStorage", "../0", [1, 0], &[1], &[1])).end();
    assert_refused(&absent, &[], "archive/data/../0");
    // A shape of nothing is nothing, wherever it lies.
    let empty =
        Pickle::new().dict(|p| p.text("w").tensor("FloatStorage", "0", [8, 9], &[0, 3], &[3, 1])).end();
    let (tensors, _) = read_archive(&archive(&empty, &[("0", &floats(&[0.0; 8]))])).expect("an archive");
    assert!(tensors["w"].values.is_empty());
}

#[test]
fn small_files_stand_for_no_more_than_they_hold() {
    // Dictionaries in dictionaries: 40 deep, each twice in the next, is 2^40 by name.
    let deep = (0..40u8).fold(Pickle::new().code(b"}q\x00"), |p, i| {
        let p = p.code(b"}(").text("a").code([b'h', i]).text("b").code([b'h', i]);
        p.code([b'u', b'q', i + 1])
    });
    assert_refused(&deep.end(), &[], "deep");
    // As deep as is allowed, 400 wide.
    let wide = (0..4u8).fold(Pickle::new().code(b"}q\x00"), |p, i| {
        let p = (0..400).fold(p.code(b"}("), |p, n| p.text(&n.to_string()).code([b'h', i]));
        p.code([b'u', b'q', i + 1])
    });
    assert_refused(&wide.end(), &[], "more than 1000000 entries");
    // One tensor of 400 kB under 100,000 names is 40 GB.
    let numbers = vec![0.0f32; 100_000];
    let tensor = Pickle::new().tensor("FloatStorage", "0", [100_000, 0], &[100_000], &[1]).code(b"q\x00");
    let many = (0..100_000).fold(tensor.code(b"}("), |p, n| p.text(&n.to_string()).code(b"h\x00"));
    assert_refused(&many.code(b"u").end(), &[("0", &floats(&numbers))], "times what the archive holds");
    // A dictionary that holds itself.
    let circle = Pickle::new().code(b"}q\x00").text("a").code(b"h\x00s").end();
    assert_refused(&circle, &[], "deep");
    // Tuples and lists in one another, deeper than the stack of any thread.
    assert_refused(&[b"\x80\x02)".as_slice(), &[0x85; 1_000_000], b"u."].concat(), &[], "no mark");
    assert_refused(
        &[b"\x80\x02".as_slice(), &[b']'; 1_000_000], &[b'a'; 999_999], b"u."].concat(),
        &[],
        "no mark",
    );
    assert_refused(
        &[b"\x80\x02}K\x00)".as_slice(), &[0x85; 1_000_000], b"sa."].concat(),
        &[],
        "items for no list",
    );
    // Marks and values without end.
    assert_refused(&[b"\x80\x02".as_slice(), &[b'('; 5_000_000]].concat(), &[], "values");
}

#[test]
fn compressed_files_are_refused() {
    // 64 MB of zeros in 64 kB.
    let pickle =
        Pickle::new().dict(|p| p.text("w").tensor("FloatStorage", "0", [1 << 24, 0], &[1 << 24], &[1])).end();
    let bomb = write_archive(&pickle, &[("0", &vec![0; 1 << 26])], CompressionMethod::Deflated);
    assert!(bomb.len() < 1 << 20);
    assert!(refusal(&bomb).contains("compressed"), "{}", refusal(&bomb));
}

#[test]
fn archives_of_something_else_are_refused() {
    assert!(refusal(b"PK\x03\x04").contains("invalid Zip archive"));
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("hello.txt", zip::write::SimpleFileOptions::default()).expect("a file");
    let other = writer.finish().expect("an archive").into_inner();
    assert!(refusal(&other).contains("not a PyTorch checkpoint"));
    // What is no dictionary holds no tensors by name: the codec then misses its first.
    let none = Pickle::new().code(b"N").end();
    assert_eq!(read_archive(&archive(&none, &[])).expect("an archive").0.len(), 0);
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused() {
    let pickle =
        Pickle::new().dict(|p| p.text("w").tensor("FloatStorage", "0", [4, 0], &[2, 2], &[2, 1])).end();
    let whole = archive(&pickle, &[("0", &floats(&[1.0, 2.0, 3.0, 4.0]))]);
    assert_eq!(read_archive(&whole).expect("the whole").0["w"].values, [1.0, 2.0, 3.0, 4.0]);
    for length in 0..whole.len() {
        assert!(read_archive(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    // The pickle inside, at every length.
    for length in 0..pickle.len() {
        assert!(
            read_archive(&archive(&pickle[..length], &[])).is_err(),
            "{length} of {} bytes",
            pickle.len()
        );
    }
}
