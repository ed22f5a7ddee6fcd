use std::path::Path;

use crate::state::{Failure, State};
use crate::store::PAGE;

fn read(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name))
        .expect("a file of the checkout")
}

fn state() -> State {
    let mut state = State::default();
    for name in ["decoder.onnx", "codebooks.safetensors", "entropy.safetensors"] {
        state.input = [name.as_bytes(), &read(&format!("models/bundles/speech-24k/{name}"))].concat();
        state.add_bundle_file(name.len()).expect("a file of the bundle");
    }
    state.input = read("models/bundles/speech-24k/manifest.json");
    state.open_bundle().expect("the bundle without its encoder");
    state
}

fn samples(state: &mut State, decoder: u32) -> Vec<f32> {
    let mut all = Vec::new();
    while state.decode(decoder).expect("samples") > 0 {
        all.extend_from_slice(&state.samples);
    }
    all
}

#[test]
fn a_file_in_any_order_is_the_same_sound() {
    let (mut state, data) = (state(), read("testdata/compat/speech-24k-0.2.0.mka"));
    let whole = state.new_file();
    state.input = data.clone();
    state.write_file(whole, 0).expect("all at once");
    state.finish_file(whole, data.len() as u64).expect("its length");
    let decoder = state.new_decoder(whole).expect("a decoder");
    let expected = samples(&mut state, decoder);
    assert!(expected.len() > 24_000);

    let pieces = state.new_file();
    let middle = (data.len() / 2) / PAGE as usize * PAGE as usize;
    state.input = data[middle..].to_vec();
    state.write_file(pieces, middle as u64).expect("the end");
    if middle > 0 {
        assert!(matches!(state.new_decoder(pieces), Err(Failure::NeedsData)));
        assert_eq!(state.wanted(pieces).expect("a place"), 0);
        state.input = data[..middle].to_vec();
        state.write_file(pieces, 0).expect("the beginning");
    }
    let other = state.new_decoder(pieces).expect("a decoder");
    let first = state.decode(other).expect("samples");
    assert_eq!(state.samples, expected[..first]);
    assert_eq!(state.position(other).expect("a place"), first as u64);
    // Without the length the end is waited for, and is then the end.
    loop {
        match state.decode(other) {
            Ok(0) => unreachable!("the length is not known"),
            Ok(_) => {}
            Err(Failure::NeedsData) => break,
            Err(Failure::Broken(reason)) => unreachable!("{reason}"),
        }
    }
    state.finish_file(pieces, data.len() as u64).expect("its length");
    while state.decode(other).expect("samples") > 0 {}
    state.seek(other, 0.5).expect("a seek");
    let count = state.decode(other).expect("samples");
    assert_eq!(state.samples, expected[12_000..12_000 + count]);
}

#[test]
fn numbers_of_nothing_are_refused() {
    let mut state = State::default();
    let file = state.new_file();
    assert!(matches!(state.new_decoder(file), Err(Failure::NeedsData)));
    state.finish_file(file, 0).expect("a length");
    assert!(
        matches!(state.new_decoder(file), Err(Failure::Broken(reason)) if reason.contains("not a Matroska file"))
    );
    state.free_file(file);
    assert!(
        matches!(state.wanted(file), Err(Failure::Broken(reason)) if reason == "nothing has the number 1")
    );
    assert!(matches!(state.decode(7), Err(Failure::Broken(_))));
    assert!(matches!(state.open_bundle(), Err(Failure::Broken(reason)) if reason.contains("manifest.json")));
}
