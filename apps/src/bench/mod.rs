//! Measuring the codec as it runs.

pub(crate) mod audio;
mod files;
mod streams;
mod timed;
mod times;
pub(crate) mod video;

pub(crate) use files::Files;
pub(crate) use streams::Streams;
pub(crate) use timed::NetworkTime;
pub(crate) use times::{Percentiles, Side, Times, percentiles};

/// Most memory that the process has had resident so far, in bytes; unknown where there is no `/proc`.
pub(crate) fn peak_memory() -> Option<u64> {
    // The high-water mark of the kernel, which also sees what ONNX Runtime allocates.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Noise whose loudness and colour go up and down as in speech, always the same.
pub(crate) fn speech_like(samples: usize, rate: u32) -> Vec<f32> {
    let (mut seed, mut low) = (1u32, 0.0f32);
    (0..samples)
        .map(|i| {
            // The generator of Numerical Recipes: the same numbers on every machine, so that runs can be compared.
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = (seed >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let t = i as f32 / rate as f32;
            // Syllables at 4 Hz, phrases at 0.3 Hz.
            let level = (0.5 - 0.5 * (t * 4.0 * std::f32::consts::TAU).cos())
                * (0.6 + 0.4 * (t * 0.3 * std::f32::consts::TAU).sin());
            // One pole of low-pass, as speech has most of its power below 1 kHz.
            low += 0.15 * (white - low);
            0.6 * level * low
        })
        .collect()
}
