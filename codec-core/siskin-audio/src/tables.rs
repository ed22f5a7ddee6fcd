use std::sync::Arc;

use siskin_entropy::Tables;
use siskin_error::{Error, Result};
use siskin_model::SharedCache;
use siskin_model::bundle::{Bundle, EntropySpec, QuantizerSpec};

use crate::quantizer::ResidualQuantizer;

/// Loads a bundle's tables for range-coded packets; none if the bundle has none. Those of one bundle are shared in a process.
///
/// # Errors
/// [`Error::BadBundle`] with the tensor that does not fit the codebooks.
pub fn load_entropy_tables(bundle: &Bundle) -> Result<Option<Arc<Tables>>> {
    // 4 MB with the codebooks as integers.
    static TABLES: SharedCache<([u8; 32], QuantizerSpec, EntropySpec), Tables> = SharedCache::new();
    let Some(spec) = &bundle.manifest().entropy else { return Ok(None) };
    let key = (bundle.hash(), bundle.manifest().quantizer.clone(), spec.clone());
    let tables = TABLES.share(key, || {
        let quantizer = ResidualQuantizer::from_bundle(bundle)?;
        let parsed = Tables::parse(&bundle.file_bytes(&spec.file)?, quantizer.codebooks());
        parsed.map_err(|e| Error::bad_bundle(bundle.path(), format!("{}: {e}", spec.file)))
    })?;
    Ok(Some(tables))
}
