use std::path::PathBuf;

use super::provider::Provider;

/// How networks are to be run.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// The execution provider; `Auto` takes the first that works of TensorRT, CUDA and CPU.
    pub provider: Provider,
    /// Device number for CUDA and TensorRT.
    pub device: i32,
    /// Threads of one network on the CPU, at least 1. One is best for a frame of audio.
    pub threads: usize,
    /// Folder in which TensorRT keeps built engines; without it each start builds them anew.
    pub engine_cache: Option<PathBuf>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        // One thread: a frame of audio is too little work to share (`docs/architecture.md`), and several streams
        // take a core each.
        Self { provider: Provider::Auto, device: 0, threads: 1, engine_cache: None }
    }
}
