use std::collections::BTreeMap;

use crate::bundle::Imported;
use crate::checkpoint::{Checkpoint, Tensor};
use crate::kinds::encodec;

type Entries = BTreeMap<String, Tensor>;

fn import(entries: &Entries) -> Result<Imported, String> {
    encodec::import(Checkpoint::from_tensors(entries.clone()))
}

fn refusal(entries: &Entries) -> String {
    import(entries).err().expect("a refusal")
}

/// Adds the tensors that a codec says it misses, one after another, until it misses none.
fn complete(mut entries: Entries) -> Entries {
    for _ in 0..500 {
        let Some(reason) = import(&entries).err() else { return entries };
        let (name, shape) = reason.strip_prefix("no tensor ").and_then(|r| r.split_once(' ')).expect(&reason);
        let shape: Vec<usize> = serde_json::from_str(shape).expect("a shape");
        let values = vec![0.01; shape.iter().product()];
        entries.insert(name.to_owned(), Tensor { shape, values });
    }
    panic!("misses more tensors than a codec has");
}

/// EnCodec with two codebooks.
fn encodec() -> Entries {
    let book = || Tensor { shape: vec![1024, 128], values: vec![0.01; 1024 * 128] };
    complete([0, 1].map(|i| (format!("quantizer.layers.{i}.codebook.embed"), book())).into())
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
