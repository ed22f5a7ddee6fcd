use half::f16;
use safetensors::{Dtype, SafeTensors};

use crate::{Error, OffsetUnit, Result};

/// The shape of codebooks: `[stage][group][entry][dim]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodebookShape {
    /// Residual stages.
    pub stages: usize,
    /// Codebooks of a stage, one for each group of the latent.
    pub groups: usize,
    /// Entries of a codebook, at least 1.
    pub size: usize,
    /// Dimension of a group of the latent.
    pub group_dim: usize,
}

/// The codebooks of a residual vector quantizer: what codes mean.
///
/// The sum of the entries that a frame's codes name is its latent. Codes are ordered `[stage][group]`, so a stage prefix
/// of a frame is a frame of a lower rate. The search for codes is the encoder's; this is all that a decoder and the
/// entropy coding need.
#[derive(Debug, Clone)]
pub struct Codebooks {
    shape: CodebookShape,
    /// `[stage][group][entry][dim]`.
    entries: Vec<f32>,
}

impl Codebooks {
    /// Reads the tensor `codebooks` of a safetensors file, F16 or F32.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(file: &[u8], shape: CodebookShape) -> std::result::Result<Self, String> {
        let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let view = tensors.tensor("codebooks").map_err(|e| e.to_string())?;
        let entries: Vec<f32> = match view.dtype() {
            // Half the size in a bundle; every F16 is an F32 exactly, so all machines have the same entries.
            Dtype::F16 => view.data().as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::F32 => view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            other => return Err(format!("codebooks are {other:?}, allowed: F16, F32")),
        };
        Self::new(shape, view.shape(), entries)
    }

    /// Takes codebooks `[stage][group][entry][dim]` whose tensor has the dimensions `found`.
    ///
    /// # Errors
    /// What does not fit `shape`, in words.
    pub fn new(
        shape: CodebookShape,
        found: &[usize],
        entries: Vec<f32>,
    ) -> std::result::Result<Self, String> {
        let CodebookShape { stages, groups, size, group_dim } = shape;
        let expected = [stages, groups, size, group_dim];
        // The product as well, since `new` takes values of callers whose tensor is not read here.
        if found != expected || entries.len() != expected.iter().product::<usize>() {
            return Err(format!("codebooks {found:?}, the manifest says {expected:?}"));
        }
        // A NaN here would reach the network's states and stay in them.
        if entries.iter().any(|x| !x.is_finite()) {
            return Err("codebooks hold values that are not finite".into());
        }
        Ok(Self { shape, entries })
    }

    /// The shape.
    pub fn shape(&self) -> CodebookShape {
        self.shape
    }

    /// Dimension of a latent frame.
    pub fn latent_dim(&self) -> usize {
        self.shape.groups * self.shape.group_dim
    }

    /// All entries, `[stage][group][entry][dim]`.
    pub fn entries(&self) -> &[f32] {
        &self.entries
    }

    /// The entries `[entry][dim]` of codebook `index` in `[stage][group]`.
    pub fn codebook_entries(&self, index: usize) -> &[f32] {
        let values = self.shape.size * self.shape.group_dim;
        &self.entries[index * values..(index + 1) * values]
    }

    /// Entry `entry` of codebook `index`.
    pub fn entry(&self, index: usize, entry: usize) -> &[f32] {
        let dim = self.shape.group_dim;
        let start = (index * self.shape.size + entry) * dim;
        &self.entries[start..start + dim]
    }

    /// Sums the entries that `codes` name into `latent`, of [`latent_dim`](Self::latent_dim) values.
    ///
    /// ```
    /// use siskin_entropy::{CodebookShape, Codebooks};
    ///
    /// # fn main() -> siskin_entropy::Result<()> {
    /// // Two stages of one codebook each, with two entries of two dimensions.
    /// let shape = CodebookShape { stages: 2, groups: 1, size: 2, group_dim: 2 };
    /// let entries = vec![0.0, 0.0, 1.0, 2.0, 0.5, 0.0, 0.0, 0.5];
    /// let codebooks = Codebooks::new(shape, &[2, 1, 2, 2], entries).expect("as the shape says");
    /// let mut latent = [0.0; 2];
    /// codebooks.decode_latent(&[1, 0], &mut latent)?;
    /// assert_eq!(latent, [1.5, 2.0]);
    /// // The first stage alone is the same frame at a lower rate.
    /// codebooks.decode_latent(&[1], &mut latent)?;
    /// assert_eq!(latent, [1.0, 2.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Bitstream`] if a code is not below the codebook's size or there are more codes than codebooks; its offset
    /// counts codes.
    pub fn decode_latent(&self, codes: &[u16], latent: &mut [f32]) -> Result<()> {
        let CodebookShape { stages, groups, size, group_dim } = self.shape;
        latent.fill(0.0);
        let fail = |field, offset, reason: String| {
            Err(Error::bitstream_at(OffsetUnit::Code, "frame", field, offset, reason))
        };
        // Fewer codes are a stage prefix, which decodes by itself; half a stage is damage.
        if codes.len() > stages * groups || !codes.len().is_multiple_of(groups) {
            return fail("codes", 0, format!("{} codes, {stages} stages of {groups}", codes.len()));
        }
        for (index, &code) in codes.iter().enumerate() {
            if usize::from(code) >= size {
                return fail("code", index, format!("{code}, allowed: 0 to {}", size - 1));
            }
            let group = index % groups;
            // In the order of the codes: sums of floats depend on it, and all decoders must have the same latent.
            let part = &mut latent[group * group_dim..(group + 1) * group_dim];
            part.iter_mut().zip(self.entry(index, code.into())).for_each(|(l, e)| *l += e);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_beyond_its_codebook_is_named_by_its_place() {
        let shape = CodebookShape { stages: 2, groups: 2, size: 3, group_dim: 1 };
        let codebooks = Codebooks::new(shape, &[2, 2, 3, 1], vec![0.5; 12]).expect("codebooks that fit");
        let mut latent = [0.0; 2];
        codebooks.decode_latent(&[0, 1, 2, 0], &mut latent).expect("codes of the codebooks");
        assert_eq!(latent, [1.0, 1.0]);
        let error = codebooks.decode_latent(&[0, 1, 3, 0], &mut latent).map_err(|e| e.to_string());
        assert_eq!(error, Err("frame: bad code at code 2: 3, allowed: 0 to 2".to_owned()));
    }
}
