//! Tokens in GStreamer: caps, and buffers of signed 32-bit integers in little-endian order.

use gst::glib;
use siskin_core::bitstream::StreamHeader;
use siskin_core::tokens::{Format, OnBadToken};

/// Media type of tokens: whole rows of the layout in a buffer, or any number of them.
pub(crate) const TOKENS: &str = "application/x-siskin-tokens";

/// The widest caps of tokens.
pub(crate) fn template() -> gst::Caps {
    gst::Caps::new_empty_simple(TOKENS)
}

/// The caps of the tokens of a stream.
pub(crate) fn caps(format: &Format, header: &StreamHeader) -> gst::Caps {
    let rate = gst::Fraction::new(header.sample_rate as i32, header.hop.into());
    gst::Caps::builder(TOKENS)
        .field("format", "S32LE")
        .field("layout", format.layout().to_string())
        .field("codebooks", format.codes_per_frame() as i32)
        .field("codebook-size", format.codebook_size() as i32)
        .field("frame-rate", rate)
        .field("model", header.bundle_name.as_str())
        .field("model-id", header.bundle.to_string())
        .build()
}

/// What caps say of tokens, as JSON for a container's track. Fields that are missing are left out.
pub(crate) fn description(caps: &gst::CapsRef) -> Option<Vec<u8>> {
    let structure = caps.structure(0).filter(|s| s.name() == TOKENS)?;
    let text = |name: &str| {
        structure.get::<&str>(name).ok().map(|v| (name.replace('-', "_"), serde_json::Value::from(v)))
    };
    let number = |name: &str| {
        structure.get::<i32>(name).ok().map(|v| (name.replace('-', "_"), serde_json::Value::from(v)))
    };
    let rate = structure.get::<gst::Fraction>("frame-rate").ok();
    let rate = rate.map(|f| serde_json::Value::from(f64::from(f.numer()) / f64::from(f.denom().max(1))));
    let fields = [
        // Names of fields as in JSON elsewhere, with `_` for `-`.
        text("format"),
        text("layout"),
        number("codebooks"),
        number("codebook-size"),
        rate.map(|r| ("frame_rate".to_owned(), r)),
        text("model"),
        text("model-id"),
    ];
    serde_json::to_vec(&fields.into_iter().flatten().collect::<serde_json::Map<_, _>>()).ok()
}

/// Tokens as bytes; those beyond 32 bits have no place in it.
pub(crate) fn to_bytes(tokens: &[i64]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(4 * tokens.len());
    for &token in tokens {
        // No vocabulary comes near 2^31, and array libraries read 32-bit integers directly.
        let small = i32::try_from(token).map_err(|_| format!("token {token} does not fit 32 bits"))?;
        out.extend(small.to_le_bytes());
    }
    Ok(out)
}

/// Tokens out of bytes.
pub(crate) fn from_bytes(data: &[u8]) -> Result<Vec<i64>, String> {
    let (whole, rest) = data.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("{} bytes, allowed: whole tokens of 4", data.len()));
    }
    Ok(whole.iter().map(|b| i32::from_le_bytes(*b).into()).collect())
}

/// What to do with bad tokens; the property `on-bad-token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstSiskinOnBadToken")]
#[repr(i32)]
pub enum BadToken {
    /// The call fails, and the stream waits for the right ones.
    #[default]
    #[enum_value(name = "Refuse them and wait for the right ones", nick = "refuse")]
    Refuse,
    /// Their frames are lost, and everything else is taken.
    #[enum_value(name = "Leave their frames out and go on", nick = "conceal")]
    Conceal,
}

impl From<BadToken> for OnBadToken {
    fn from(bad: BadToken) -> Self {
        match bad {
            BadToken::Refuse => Self::Refuse,
            BadToken::Conceal => Self::Conceal,
        }
    }
}
