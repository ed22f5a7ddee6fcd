use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::bundle::Imported;
use crate::checkpoint::{Checkpoint, Tensor};
use crate::kinds::encodec;

type Entries = BTreeMap<String, Tensor>;

type Import = fn(Checkpoint) -> Result<Imported, String>;

fn import(entries: &Entries) -> Result<Imported, String> {
    encodec::import(Checkpoint::from_tensors(entries.clone()))
}

fn refusal(entries: &Entries) -> String {
    import(entries).err().expect("a refusal")
}

/// A tensor whose values follow from its name, so that no two can be exchanged unnoticed.
fn tensor(name: &str, shape: &[usize]) -> (String, Tensor) {
    let mut state = name.bytes().fold(1u32, |s, b| s.wrapping_mul(31).wrapping_add(b.into())) | 1;
    let values = (0..shape.iter().product::<usize>()).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 1e9
    });
    (name.to_owned(), Tensor { shape: shape.to_vec(), values: values.collect() })
}

/// Adds the tensors that a codec says it misses, one after another, until it misses none.
fn complete(import: Import, mut entries: Entries) -> Entries {
    for _ in 0..500 {
        let made = import(Checkpoint::from_tensors(entries.clone()));
        let Some(reason) = made.err() else { return entries };
        let (name, shape) = reason.strip_prefix("no tensor ").and_then(|r| r.split_once(' ')).expect(&reason);
        let shape: Vec<usize> = serde_json::from_str(shape).expect("a shape");
        entries.extend([tensor(name, &shape)]);
    }
    panic!("misses more tensors than a codec has");
}

/// EnCodec with two codebooks.
fn encodec() -> Entries {
    complete(
        encodec::import,
        [0, 1].map(|i| tensor(&format!("quantizer.layers.{i}.codebook.embed"), &[1024, 128])).into(),
    )
}

/// SHA-256 over the graphs of a codec.
fn graphs_hash(import: Import, entries: Entries) -> String {
    let made = import(Checkpoint::from_tensors(complete(import, entries))).expect("a codec");
    let graphs = made.files.iter().filter(|(name, _)| name.ends_with(".onnx"));
    let hash = graphs.fold(Sha256::new(), |hash, (name, graph)| hash.chain_update(name).chain_update(graph));
    hex::encode(hash.finalize())
}

/// As they were when each codec had layers of its own; those of EnCodec at 32 kHz and of Mimi, which take minutes here, were too.
#[test]
fn graphs_of_seanets_keep_their_bytes() {
    let book = tensor("quantizer.layers.0.codebook.embed", &[1024, 128]);
    let norm = tensor("encoder.layers.0.norm.weight", &[2]);
    let first = tensor("encoder.layers.0.conv.weight", &[2, 2, 7]);
    for (entries, expected) in [
        (vec![book.clone()], "a568a13299da7cb4d9092f3d17d76a829d9a117c1011ea3371b147aa3c0a895c"),
        (vec![book, norm, first], "a8a09e934f4585ea690a864cca8ef9ce2035f6b14933f9f035b3586aa365b877"),
    ] {
        assert_eq!(graphs_hash(encodec::import, entries.into_iter().collect()), expected);
    }
}

#[test]
fn the_first_difference_is_named() {
    let whole = encodec();
    assert_eq!(import(&whole).expect("a codec").recognised, "EnCodec, 24 kHz, 2 codebooks");
    // One of each part: missing, of another shape, not finite.
    for name in [
        "encoder.layers.0.conv.bias",
        "decoder.layers.1.lstm.weight_hh_l1",
        "quantizer.layers.0.codebook.embed",
    ] {
        let mut entries = whole.clone();
        let mut tensor = entries.remove(name).expect(name);
        let missing = refusal(&entries);
        // Codebooks are counted by their names, so that without the first there is none.
        let expected = if name.starts_with("quantizer") { "tensor quantizer.layers.1" } else { name };
        assert!(missing.contains(expected), "{missing}");
        tensor.values[5] = f32::NAN;
        entries.insert(name.into(), tensor.clone());
        assert_eq!(refusal(&entries), format!("tensor {name} holds values that are not finite"));
        tensor.shape.push(1);
        entries.insert(name.into(), tensor);
        assert!(
            refusal(&entries).starts_with(&format!("tensor {name} has the shape")),
            "{}",
            refusal(&entries)
        );
    }
    let mut entries = whole;
    entries.insert("lm.layers.0.weight".into(), Tensor { shape: vec![1], values: vec![0.0] });
    assert_eq!(refusal(&entries), "tensor lm.layers.0.weight is not one of this codec");
    assert!(
        refusal(&Entries::new()).starts_with("no tensor encoder.layers.0.conv.weight"),
        "{}",
        refusal(&Entries::new())
    );
}
