use siskin_entropy::Tables;
use siskin_model::bundle::Bundle;

use crate::quantizer::codebooks;
use crate::{Error, Result};

/// Reads the tables for range-coded packets of a bundle; none if it has none.
///
/// # Errors
/// [`Error::BadBundle`] with the tensor that is not as it must be.
pub fn entropy_tables(bundle: &Bundle) -> Result<Option<Tables>> {
    let Some(spec) = &bundle.manifest().entropy else { return Ok(None) };
    let parsed = Tables::parse(bundle.file_bytes(&spec.file)?, &codebooks(bundle)?);
    let bad = |e| Error::bad_bundle(bundle.path(), format!("{}: {e}", spec.file));
    parsed.map_err(bad).map(Some)
}
