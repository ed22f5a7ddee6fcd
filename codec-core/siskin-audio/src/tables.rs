use siskin_entropy::Tables;
use siskin_error::{Error, Result};
use siskin_model::bundle::Bundle;

use crate::quantizer::load_codebooks;

/// Loads a bundle's tables for range-coded packets; none if the bundle has none.
///
/// # Errors
/// [`Error::BadBundle`] with the tensor that does not fit the codebooks.
pub fn load_entropy_tables(bundle: &Bundle) -> Result<Option<Tables>> {
    let Some(spec) = &bundle.manifest().entropy else { return Ok(None) };
    // Codebooks are read a second time: the tables need them as integers, and loading happens once.
    let parsed = Tables::parse(bundle.file_bytes(&spec.file)?, &load_codebooks(bundle)?);
    let bad = |e| Error::bad_bundle(bundle.path(), format!("{}: {e}", spec.file));
    parsed.map_err(bad).map(Some)
}
