use serde::{Deserialize, Serialize};

use siskin_bitstream::StreamHeader;

use crate::tokens::words::Word;

/// Metadata of codes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenMeta {
    /// Version of the metadata, 1.
    #[serde(default)]
    pub format: u32,
    /// Name of the recording, unique in a data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the bundle that made the codes and decodes them.
    #[serde(default)]
    pub model: String,
    /// The stream header in hexadecimal: bundle id, rate, hop, stages, delay.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "header_text")]
    pub stream_header: Option<StreamHeader>,
    /// Entries per codebook; 0 if unknown.
    #[serde(default)]
    pub codebook_size: u32,
    /// Frames per second; 0 if unknown.
    #[serde(default)]
    pub frame_rate: f64,
    /// Length of the recording in samples, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Scales of the segments, for a codec that codes those: the frames of each lie one after another, and with `samples` follows
    /// how many each has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<f32>,
    /// The transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The speaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// Words with their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

impl TokenMeta {
    /// Metadata of the codes of a stream with `codebook_size` entries per codebook.
    pub fn from_stream_header(header: &StreamHeader, codebook_size: u32) -> Self {
        Self {
            format: 1,
            model: header.bundle_name.clone(),
            frame_rate: header.frame_rate(),
            stream_header: Some(header.clone()),
            codebook_size,
            ..Default::default()
        }
    }
}

/// A stream header as hexadecimal text.
mod header_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use siskin_bitstream::StreamHeader;

    pub(crate) fn serialize<S: Serializer>(header: &Option<StreamHeader>, to: S) -> Result<S::Ok, S::Error> {
        // The bytes of `CodecPrivate`, so that a coded file can be made from tokens bit by bit.
        to.serialize_str(&header.as_ref().map(|h| hex::encode(h.to_bytes())).unwrap_or_default())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<StreamHeader>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = hex::decode(&text).map_err(de::Error::custom)?;
        StreamHeader::parse(&bytes).map(|(header, _)| Some(header)).map_err(de::Error::custom)
    }
}
