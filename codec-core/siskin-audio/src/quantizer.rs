use std::sync::{Arc, OnceLock};

use siskin_entropy::{CodebookShape, Codebooks};
use siskin_error::{Error, Result};
use siskin_model::SharedCache;
use siskin_model::bundle::{Bundle, QuantizerSpec};

use crate::rate::StageCandidates;
use crate::search::{BeamSearch, SearchCodebook};
use crate::select::{Column, LANES};

/// Residual vector quantization over one or more groups of a latent.
///
/// Each stage quantizes what the stages before it left (RVQ: SoundStream, arXiv 2107.03312, section III-C; groups:
/// HiFi-Codec, arXiv 2305.02765, section 3.2). Codes are ordered `[stage][group]`, so a stage prefix of a frame is a
/// valid frame of a lower rate.
///
/// Clones, and the quantizers of one bundle in a process, share their codebooks.
#[derive(Clone)]
pub struct ResidualQuantizer(Arc<Books>);

struct Books {
    codebooks: Codebooks,
    /// Made when the first encoder is: what only decodes does without.
    layout: OnceLock<SearchLayout>,
}

/// Codebooks as the search reads them.
pub(crate) struct SearchLayout {
    /// `[stage][group]` codebooks as [`SearchCodebook::columns`] has them.
    columns: Vec<Column>,
    /// `[stage][group]` lengths as [`SearchCodebook::half_norms`] has them.
    half_norms: Vec<f32>,
    /// `[stage][group]` values as [`SearchCodebook::error_per_bit`] has them.
    error_per_bit: Vec<f32>,
}

/// Loads the codebooks of a bundle.
///
/// # Errors
/// [`Error::BadBundle`] if their shape is not the manifest's or a value is NaN or infinite.
pub fn load_codebooks(bundle: &Bundle) -> Result<Codebooks> {
    read_codebooks(bundle, &bundle.manifest().quantizer)
}

fn read_codebooks(bundle: &Bundle, spec: &QuantizerSpec) -> Result<Codebooks> {
    let parsed = Codebooks::parse(&bundle.file_bytes(&spec.file)?, shape_of(spec));
    parsed.map_err(|e| Error::bad_bundle(bundle.path(), format!("{}: {e}", spec.file)))
}

fn shape_of(spec: &QuantizerSpec) -> CodebookShape {
    let groups = usize::from(spec.groups);
    CodebookShape {
        stages: spec.stages.into(),
        groups,
        size: spec.size as usize,
        group_dim: spec.dim / groups.max(1),
    }
}

impl SearchLayout {
    /// Lays codebooks out for the search: blocks of entries side by side, norms precomputed.
    fn new(codebooks: &Codebooks) -> Self {
        let CodebookShape { stages, groups, size, group_dim: dim } = codebooks.shape();
        // The kernel compares whole blocks, without a remainder loop.
        let padded = size.next_multiple_of(LANES);
        let mut columns = vec![Column([0.0; LANES]); stages * groups * dim * padded / LANES];
        // Padding entries are infinitely far away and never chosen.
        let mut half_norms = vec![f32::INFINITY; stages * groups * padded];
        let books = codebooks.entries().chunks_exact(size * dim);
        let filled = columns.chunks_exact_mut(padded / LANES * dim).zip(half_norms.chunks_exact_mut(padded));
        for (book, (columns, norms)) in books.zip(filled) {
            for (i, entry) in book.chunks_exact(dim).enumerate() {
                // |r - e|^2 / 2 without the |r|^2 / 2 that all entries share is |e|^2 / 2 - r.e: one product per
                // value is left.
                norms[i] = 0.5 * entry.iter().map(|x| x * x).sum::<f32>();
                let block = &mut columns[i / LANES * dim..];
                block.iter_mut().zip(entry).for_each(|(column, &x)| column.0[i % LANES] = x);
            }
        }
        // A stage removes about the mean square of its entries from the error, with log2(size) bits.
        let error_per_bit =
            |norms: &[f32]| norms[..size].iter().sum::<f32>() / size as f32 / (size as f32).log2() / 256.0;
        let error_per_bit = half_norms.chunks_exact(padded).map(error_per_bit).collect();
        Self { columns, half_norms, error_per_bit }
    }
}

impl Books {
    fn new(codebooks: Codebooks) -> Self {
        Self { codebooks, layout: OnceLock::new() }
    }
}

impl ResidualQuantizer {
    /// A quantizer with a bundle's codebooks.
    ///
    /// # Errors
    /// What [`load_codebooks`] returns.
    pub fn from_bundle(bundle: &Bundle) -> Result<Self> {
        Self::of_spec(bundle, &bundle.manifest().quantizer)
    }

    /// A quantizer with the codebooks of a file of the bundle, as `spec` says.
    pub(crate) fn of_spec(bundle: &Bundle, spec: &QuantizerSpec) -> Result<Self> {
        // 5 MB with the copy for the search.
        static BOOKS: SharedCache<([u8; 32], QuantizerSpec), Books> = SharedCache::new();
        let key = (bundle.hash(), spec.clone());
        BOOKS.share(key, || read_codebooks(bundle, spec).map(Books::new)).map(Self)
    }

    /// A quantizer with codebooks `[stage][group][entry][dim / groups]`.
    ///
    /// # Errors
    /// A text that says what does not fit `spec`.
    pub fn new(
        spec: &QuantizerSpec,
        shape: &[usize],
        entries: Vec<f32>,
    ) -> std::result::Result<Self, String> {
        Codebooks::new(shape_of(spec), shape, entries).map(Self::from_codebooks)
    }

    /// A quantizer with codebooks of any origin.
    pub fn from_codebooks(codebooks: Codebooks) -> Self {
        Self(Arc::new(Books::new(codebooks)))
    }
    /// The codebooks.
    pub fn codebooks(&self) -> &Codebooks {
        &self.0.codebooks
    }

    /// Codes per frame with `stages` stages.
    pub fn codes_per_frame(&self, stages: usize) -> usize {
        stages * self.groups()
    }

    /// Residual stages.
    pub fn stages(&self) -> usize {
        self.0.codebooks.shape().stages
    }

    /// Codebooks per stage.
    pub fn groups(&self) -> usize {
        self.0.codebooks.shape().groups
    }

    /// Entries per codebook.
    pub fn codebook_size(&self) -> usize {
        self.0.codebooks.shape().size
    }

    /// Dimension of one group.
    pub(crate) fn group_dim(&self) -> usize {
        self.0.codebooks.shape().group_dim
    }

    /// Dimension of a latent frame.
    pub fn latent_dim(&self) -> usize {
        self.0.codebooks.latent_dim()
    }

    /// Quantizes one latent frame with as many stages as fill `codes` (`[stage][group]`).
    ///
    /// The nearest entry of each stage in turn does not give the nearest sum of entries, so `search` keeps several
    /// partial sums (beam search). Sums are taken in one fixed order: codes do not depend on the machine's vector
    /// width. A latent with NaN or infinite values gets some valid codes.
    ///
    /// ```
    /// use siskin_audio::{BeamSearch, ResidualQuantizer};
    /// use siskin_entropy::{CodebookShape, Codebooks};
    ///
    /// // Two stages of two entries in one dimension: coarse steps of 4, fine steps of 1.
    /// let shape = CodebookShape { stages: 2, groups: 1, size: 2, group_dim: 1 };
    /// let codebooks = Codebooks::new(shape, &[2, 1, 2, 1], vec![0.0, 4.0, 0.0, 1.0])?;
    /// let quantizer = ResidualQuantizer::from_codebooks(codebooks);
    /// let (mut codes, mut latent) = ([0; 2], [0.0]);
    /// quantizer.quantize_latent(&[4.8], &mut codes, &mut BeamSearch::new(shape, 4));
    /// assert_eq!(codes, [1, 1]);
    ///
    /// quantizer.dequantize_codes(&codes, &mut latent)?;
    /// assert_eq!(latent, [5.0]);
    /// // A prefix of whole stages is a frame of a lower rate.
    /// quantizer.dequantize_codes(&codes[..1], &mut latent)?;
    /// assert_eq!(latent, [4.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn quantize_latent(&self, latent: &[f32], codes: &mut [u16], search: &mut BeamSearch) {
        let stages = codes.len() / self.groups();
        self.start_search(latent, search);
        for stage in 0..stages {
            (0..self.groups()).for_each(|group| {
                search.extend_beams(group, stage, &self.search_codebook(stage * self.groups() + group))
            });
        }
        for group in 0..self.groups() {
            let best = search.best_codes(group, stages);
            best.iter().enumerate().for_each(|(stage, &code)| codes[stage * self.groups() + group] = code);
        }
    }

    /// Quantizes one latent frame with each number of stages that `candidates` has room for: the nearest sums of one
    /// stage, of two and so on, and the squared error of each. It ends when `is_enough` says so of the number of stages so far;
    /// the errors of more stages are then zero.
    pub(crate) fn quantize_all_stages(
        &self,
        latent: &[f32],
        candidates: &mut StageCandidates,
        search: &mut BeamSearch,
        is_enough: impl Fn(&StageCandidates, usize) -> bool,
    ) {
        let stages = candidates.errors.len() - 1;
        candidates.errors.fill(0.0);
        self.start_search(latent, search);
        // Without any stage the error is the latent itself.
        candidates.errors[0] = latent.iter().map(|x| x * x).sum();
        for stage in 0..stages {
            for (group, part) in latent.chunks_exact(self.group_dim()).enumerate().take(self.groups()) {
                search.extend_beams(group, stage, &self.search_codebook(stage * self.groups() + group));
                let whole: f32 = part.iter().map(|x| x * x).sum();
                // Distances lack the latent's own length; rounding may leave a tiny negative error.
                candidates.errors[stage + 1] += (whole + 2.0 * search.best_distance(group)).max(0.0);
                let path = &mut candidates.paths[stage * stages * self.groups()..];
                let best = search.best_codes(group, stage + 1);
                best.iter().enumerate().for_each(|(s, &code)| path[s * self.groups() + group] = code);
            }
            if is_enough(candidates, stage + 1) {
                break;
            }
        }
    }

    /// Lays the codebooks out for the search, which the first frame would otherwise wait for.
    pub(crate) fn prepare_search(&self) -> &SearchLayout {
        self.0.layout.get_or_init(|| SearchLayout::new(&self.0.codebooks))
    }

    fn start_search(&self, latent: &[f32], search: &mut BeamSearch) {
        let parts = latent.chunks_exact(self.group_dim()).enumerate().take(self.groups());
        parts.for_each(|(group, part)| search.start_group(group, part));
    }

    fn search_codebook(&self, index: usize) -> SearchCodebook<'_> {
        let padded = self.codebook_size().next_multiple_of(LANES);
        let columns = padded / LANES * self.group_dim();
        let (codebooks, layout) = (&self.0.codebooks, self.prepare_search());
        SearchCodebook {
            index,
            error_per_bit: layout.error_per_bit[index],
            entries: codebooks.codebook_entries(index),
            columns: &layout.columns[index * columns..(index + 1) * columns],
            half_norms: &layout.half_norms[index * padded..(index + 1) * padded],
        }
    }

    /// Sums the entries of `codes` (`[stage][group]`, any whole number of stages) into `latent`.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if a code is not below the codebook's size or there are more codes than codebooks.
    pub fn dequantize_codes(&self, codes: &[u16], latent: &mut [f32]) -> Result<()> {
        self.0.codebooks.decode_latent(codes, latent)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use siskin_model::bundle::QuantizerKind;

    /// Codebooks of pseudo-random entries whose length halves from stage to stage.
    pub(crate) fn sample(groups: u8) -> ResidualQuantizer {
        let (stages, size, dim) = (4u8, 16u32, 8usize);
        let kind = if groups == 1 { QuantizerKind::Rvq } else { QuantizerKind::Grvq };
        let spec = QuantizerSpec {
            kind,
            groups,
            stages,
            size,
            dim,
            file: String::new(),
            decoder_file: None,
            parts: Vec::new(),
            strides: Vec::new(),
        };
        let count = usize::from(stages) * size as usize * dim;
        let per_stage = count / usize::from(stages);
        let mut seed = 1u32;
        let entries = (0..count).map(|i| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / f32::powi(2.0, 23 + (i / per_stage) as i32)
                - f32::powi(2.0, -((i / per_stage) as i32))
        });
        let shape = [stages.into(), groups.into(), size as usize, dim / usize::from(groups)];
        ResidualQuantizer::new(&spec, &shape, entries.collect()).expect("matching shapes")
    }

    fn error_after(q: &ResidualQuantizer, latent: &[f32], codes: &[u16]) -> f32 {
        let mut out = vec![0.0; q.latent_dim()];
        q.dequantize_codes(codes, &mut out).expect("valid codes");
        out.iter().zip(latent).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    #[test]
    fn more_stages_come_nearer() {
        for groups in [1, 2] {
            let q = sample(groups);
            let latent: Vec<f32> = (0..8).map(|i| (i as f32 * 0.7).sin() * 0.8).collect();
            let mut codes = vec![0; q.codes_per_frame(4)];
            q.quantize_latent(&latent, &mut codes, &mut BeamSearch::new(q.codebooks().shape(), 4));
            let errors: Vec<f32> =
                (1..=4).map(|s| error_after(&q, &latent, &codes[..q.codes_per_frame(s)])).collect();
            assert!(errors.last() < errors.first(), "{errors:?}");
        }
    }

    #[test]
    fn an_entry_quantizes_to_itself() {
        let q = sample(1);
        for index in 0..16 {
            let mut codes = [0];
            q.quantize_latent(
                q.codebooks().entry(0, index),
                &mut codes,
                &mut BeamSearch::new(q.codebooks().shape(), 3),
            );
            assert_eq!(usize::from(codes[0]), index);
        }
    }

    #[test]
    fn a_wider_search_comes_nearer() {
        let q = sample(1);
        let total = |width| -> f32 {
            let mut search = BeamSearch::new(q.codebooks().shape(), width);
            let latents =
                (0..50).map(|n| (0..8).map(|i| ((n * 8 + i) as f32 * 0.9).sin()).collect::<Vec<_>>());
            let mut codes = [0; 4];
            latents
                .map(|z| (q.quantize_latent(&z, &mut codes, &mut search), error_after(&q, &z, &codes)).1)
                .sum()
        };
        let errors = [1, 2, 8].map(total);
        assert!(errors[0] > errors[1] && errors[1] > errors[2], "{errors:?}");
    }

    #[test]
    fn all_prefixes_are_those_of_their_own_search() {
        for groups in [1, 2] {
            let q = sample(groups);
            let latent: Vec<f32> = (0..8).map(|i| (i as f32 * 0.9).sin()).collect();
            let mut candidates = StageCandidates::new(4, groups.into());
            let mut search = BeamSearch::new(q.codebooks().shape(), 4);
            q.quantize_all_stages(&latent, &mut candidates, &mut search, |_, _| false);
            for stages in 1..=4 {
                let mut codes = vec![0; q.codes_per_frame(stages)];
                q.quantize_latent(&latent, &mut codes, &mut BeamSearch::new(q.codebooks().shape(), 4));
                assert_eq!(candidates.codes_at(stages), codes);
                assert!((candidates.errors[stages] - error_after(&q, &latent, &codes)).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_search_of_all_sums_finds_the_nearest() {
        let q = sample(1);
        let latent: Vec<f32> = (0..8).map(|i| (i as f32 * 1.3).cos()).collect();
        let mut codes = [0; 2];
        q.quantize_latent(&latent, &mut codes, &mut BeamSearch::new(q.codebooks().shape(), 16));
        let pairs = (0..16u16).flat_map(|a| (0..16u16).map(move |b| [a, b]));
        let nearest = pairs.map(|p| error_after(&q, &latent, &p)).fold(f32::INFINITY, f32::min);
        assert!((error_after(&q, &latent, &codes) - nearest).abs() < 1e-6);
    }

    #[test]
    fn bad_codes_are_refused() {
        let q = sample(2);
        let mut latent = [0.0; 8];
        assert!(q.dequantize_codes(&[0, 16], &mut latent).is_err());
        assert!(q.dequantize_codes(&[0], &mut latent).is_err(), "half a stage");
        assert!(q.dequantize_codes(&[0; 10], &mut latent).is_err(), "five stages");
    }

    #[test]
    fn latents_that_are_no_numbers_give_codes() {
        let q = sample(1);
        let mut codes = [99; 4];
        q.quantize_latent(&[f32::NAN; 8], &mut codes, &mut BeamSearch::new(q.codebooks().shape(), 4));
        assert!(codes.iter().all(|&c| c < 16), "{codes:?}");
    }
}
