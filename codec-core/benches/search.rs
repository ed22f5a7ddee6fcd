//! Time of the residual codebook search for one frame: 12 stages of 1024 entries, 64 dimensions.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use siskin_core::audio::{BeamSearch, ResidualQuantizer};
use siskin_core::bundle::{QuantizerKind, QuantizerSpec};

const DIM: usize = 64;

fn search(c: &mut Criterion) {
    let (groups, stages, size) = (1, 18, 1024);
    let spec = QuantizerSpec {
        kind: QuantizerKind::Rvq,
        groups,
        stages,
        size,
        dim: DIM,
        file: String::new(),
        decoder_file: None,
        parts: Vec::new(),
        strides: Vec::new(),
    };
    let entries = (0..18 * 1024 * DIM).map(|i| (i as f32 * 0.37).sin()).collect();
    let quantizer = ResidualQuantizer::new(&spec, &[18, 1, 1024, DIM], entries).expect("matching shapes");
    let latent: Vec<f32> = (0..DIM).map(|i| (i as f32 * 1.7).cos()).collect();
    let mut group = c.benchmark_group("search");
    for width in [1, 4, 8] {
        let mut search = BeamSearch::new(quantizer.codebooks().shape(), width);
        group.bench_function(BenchmarkId::from_parameter(width), |b| {
            let mut codes = [0; 12];
            b.iter(|| quantizer.quantize_latent(&latent, &mut codes, &mut search));
        });
    }
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
