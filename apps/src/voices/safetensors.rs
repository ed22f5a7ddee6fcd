/// A safetensors file of f32 tensors `[rows, 1, columns]`, in the order given.
pub(super) fn write_tensors(tensors: &[(String, [usize; 3], Vec<u8>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for (name, shape, data) in tensors {
        let end = at + data.len();
        let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] });
        header.insert(name.clone(), entry);
        at = end;
    }
    let mut text = serde_json::Value::Object(header).to_string();
    // The data begin at a multiple of eight bytes.
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(text.as_bytes());
    tensors.iter().for_each(|(_, _, data)| file.extend_from_slice(data));
    file
}
