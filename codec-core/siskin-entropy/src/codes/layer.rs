//! Layers of integers: sums of products of weights of 8 bits and inputs of 16.

use pulp::NullaryFnOnce;

/// Outputs whose sums are computed side by side.
pub(super) const LANES: usize = 32;

/// The weights of 32 outputs for a pair of inputs.
// A line of the cache, of which vectors that lie across two would read both.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Pair([i8; 2 * LANES]);

/// The weights of a layer.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// `[block][pair]`, blocks of 32 outputs and pairs of inputs, filled up with zeros.
    weights: Vec<Pair>,
    /// Pairs of inputs.
    pairs: usize,
    outputs: usize,
}

/// Where the weight of a lane for the first or second input of a pair lies.
const fn place(lane: usize, second: usize) -> usize {
    // x86 multiplies neighbors and adds them up in one instruction; elsewhere a row of lanes is what loops are made of.
    if cfg!(target_arch = "x86_64") { 2 * lane + second } else { second * LANES + lane }
}

impl Layer {
    /// A layer of `rows`, `[output][input]`, with `inputs` inputs.
    pub(super) fn new(rows: &[i8], inputs: usize) -> Self {
        let (pairs, outputs) = (inputs.div_ceil(2), rows.len() / inputs.max(1));
        let mut weights = vec![Pair([0; 2 * LANES]); outputs.div_ceil(LANES) * pairs];
        for (output, row) in rows.chunks_exact(inputs.max(1)).enumerate() {
            for (input, &weight) in row.iter().enumerate() {
                let pair = &mut weights[output / LANES * pairs + input / 2];
                pair.0[place(output % LANES, input % 2)] = weight;
            }
        }
        Self { weights, pairs, outputs }
    }

    /// Number of outputs.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The outputs' number in whole blocks.
    pub(super) fn padded_outputs(&self) -> usize {
        self.outputs.next_multiple_of(LANES)
    }

    /// Sums of the products with each of `inputs`, which have at least as many pairs as the layer: `finish` gets the number of a
    /// block and its sums.
    // Integers may be added in any order, so any vector width gives the same. `Tables::new` has refused weights whose sums could
    // overflow.
    pub(super) fn multiply<const N: usize>(
        &self,
        arch: pulp::Arch,
        inputs: [&[[i16; 2]]; N],
        finish: impl FnMut(usize, [[i32; LANES]; N]),
    ) {
        match arch {
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V4(simd) => simd.vectorize(Multiply { simd, layer: self, inputs, finish }),
            #[cfg(target_arch = "x86_64")]
            pulp::Arch::V3(simd) => simd.vectorize(Multiply { simd, layer: self, inputs, finish }),
            _ => Multiply { simd: Portable, layer: self, inputs, finish }.call(),
        }
    }
}

struct Multiply<'a, P, F, const N: usize> {
    simd: P,
    layer: &'a Layer,
    inputs: [&'a [[i16; 2]]; N],
    finish: F,
}

impl<P: Products, F: FnMut(usize, [[i32; LANES]; N]), const N: usize> NullaryFnOnce
    for Multiply<'_, P, F, N>
{
    type Output = ();

    // A closure would not be inlined into the function that is compiled for the vectors.
    #[inline(always)]
    fn call(self) {
        let Self { simd, layer, inputs, mut finish } = self;
        for (number, block) in layer.weights.chunks_exact(layer.pairs.max(1)).enumerate() {
            finish(number, simd.sum_products(block, inputs));
        }
    }
}

/// How a processor sums products.
trait Products: Copy {
    /// The sums of a block's outputs for each of `inputs`, which are at least as long as the block.
    fn sum_products<const N: usize>(self, block: &[Pair], inputs: [&[[i16; 2]]; N]) -> [[i32; LANES]; N];
}

#[cfg(target_arch = "x86_64")]
impl Products for pulp::x86::V4 {
    #[inline(always)]
    fn sum_products<const N: usize>(self, block: &[Pair], inputs: [&[[i16; 2]]; N]) -> [[i32; LANES]; N] {
        use std::arch::x86_64::{__m256i, __m512i};
        let mut sums = [[self.avx512f._mm512_setzero_si512(); 2]; N];
        for (i, &weights) in block.iter().enumerate() {
            let [first, second]: [__m256i; 2] = pulp::cast(weights.0);
            let first = self.avx512bw._mm512_cvtepi8_epi16(first);
            let second = self.avx512bw._mm512_cvtepi8_epi16(second);
            for (sums, inputs) in sums.iter_mut().zip(inputs) {
                let pair = self.avx512f._mm512_set1_epi32(pulp::cast(inputs[i]));
                for (sum, weights) in sums.iter_mut().zip([first, second]) {
                    let products = self.avx512bw._mm512_madd_epi16(weights, pair);
                    *sum = self.avx512f._mm512_add_epi32(*sum, products);
                }
            }
        }
        let mut found = [[0; LANES]; N];
        for (found, sums) in found.iter_mut().zip(sums) {
            *found = pulp::cast::<[__m512i; 2], _>(sums);
        }
        found
    }
}

#[cfg(target_arch = "x86_64")]
impl Products for pulp::x86::V3 {
    #[inline(always)]
    fn sum_products<const N: usize>(self, block: &[Pair], inputs: [&[[i16; 2]]; N]) -> [[i32; LANES]; N] {
        use std::arch::x86_64::{__m128i, __m256i};
        let mut found = [[0; LANES]; N];
        // Sums of one input after another, since there are registers for no more.
        for (found, inputs) in found.iter_mut().zip(inputs) {
            let mut sums = [self.avx._mm256_setzero_si256(); 4];
            for (&weights, &pair) in block.iter().zip(inputs) {
                let weights: [__m128i; 4] = pulp::cast(weights.0);
                let pair = self.avx._mm256_set1_epi32(pulp::cast(pair));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    let products = self.avx2._mm256_madd_epi16(self.avx2._mm256_cvtepi8_epi16(weights), pair);
                    *sum = self.avx2._mm256_add_epi32(*sum, products);
                }
            }
            *found = pulp::cast::<[__m256i; 4], _>(sums);
        }
        found
    }
}

/// What the compiler makes of plain loops.
#[derive(Clone, Copy)]
struct Portable;

impl Products for Portable {
    #[inline(always)]
    fn sum_products<const N: usize>(self, block: &[Pair], inputs: [&[[i16; 2]]; N]) -> [[i32; LANES]; N] {
        let mut found = [[0i32; LANES]; N];
        for (sums, inputs) in found.iter_mut().zip(inputs) {
            for (weights, &[first, second]) in block.iter().zip(inputs) {
                let (first, second) = (i32::from(first), i32::from(second));
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let product = |input: i32, at: usize| input * i32::from(weights.0[place(lane, at)]);
                    // Wrapping, since the check of each addition in development builds keeps the compiler from using vectors.
                    *sum = sum.wrapping_add(product(first, 0)).wrapping_add(product(second, 1));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_gives_the_sums() {
        let mut seed = 3u32;
        let mut number = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as i8
        };
        // Outputs and inputs that fill no block and no pair.
        for (outputs, inputs) in [(1, 1), (31, 7), (48, 64), (70, 33)] {
            let rows: Vec<i8> = (0..outputs * inputs).map(|_| number()).collect();
            let values: Vec<i16> = (0..inputs + inputs % 2).map(|_| i16::from(number()) * 64).collect();
            let layer = Layer::new(&rows, inputs);
            let expected: Vec<i32> = (rows.chunks_exact(inputs))
                .map(|row| row.iter().zip(&values).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum())
                .collect();
            let (pairs, _) = values.as_chunks::<2>();
            #[cfg(target_arch = "x86_64")]
            let narrower = pulp::x86::V3::try_new().map(pulp::Arch::V3);
            #[cfg(not(target_arch = "x86_64"))]
            let narrower = None;
            for arch in [pulp::Arch::new(), pulp::Arch::Scalar].into_iter().chain(narrower) {
                let (mut found, mut twice) = (Vec::new(), Vec::new());
                layer.multiply(arch, [pairs], |_, [sums]| found.extend(sums));
                let zeros = vec![[0; 2]; pairs.len()];
                layer.multiply(arch, [pairs, &zeros, pairs], |_, [first, none, last]| {
                    assert_eq!((first, none), (last, [0; LANES]), "{arch:?}");
                    twice.extend(first);
                });
                assert_eq!(found, twice, "{arch:?}");
                assert_eq!(found.len(), layer.padded_outputs());
                assert_eq!(found[..outputs], expected, "{arch:?}");
                assert!(found[outputs..].iter().all(|&sum| sum == 0));
            }
        }
    }
}
