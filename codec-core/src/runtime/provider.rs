use std::fmt;
use std::str::FromStr;

use ort::ep::{self, ExecutionProvider};
use ort::session::builder::SessionBuilder;

use super::RuntimeOptions;
use crate::{Error, Result};

/// What computes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provider {
    /// The first of TensorRT, CUDA and CPU that works.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU through CUDA and cuDNN.
    Cuda,
    /// An NVIDIA GPU through TensorRT.
    TensorRt,
}

impl Provider {
    /// Every value, in the order of the names in [`FromStr`].
    pub const ALL: [Self; 4] = [Self::Auto, Self::Cpu, Self::Cuda, Self::TensorRt];

    /// The name that options and properties use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// The providers to try, in order, when this one is asked for.
    pub(super) fn candidates(self) -> &'static [Self] {
        match self {
            Self::Auto => &[Self::TensorRt, Self::Cuda, Self::Cpu],
            Self::Cpu => &[Self::Cpu],
            Self::Cuda => &[Self::Cuda],
            Self::TensorRt => &[Self::TensorRt],
        }
    }

    /// Whether the loaded library was built with this provider.
    pub(super) fn is_compiled_in(self) -> bool {
        match self {
            Self::Auto | Self::Cpu => true,
            Self::Cuda => ep::CUDA::is_available().unwrap_or(false),
            Self::TensorRt => ep::TensorRT::is_available().unwrap_or(false),
        }
    }

    pub(super) fn check_compiled_in(self) -> Result<()> {
        if self.is_compiled_in() {
            return Ok(());
        }
        let reason = "the loaded ONNX Runtime was built without it: set ORT_DYLIB_PATH to the library of an \
                      onnxruntime-gpu package";
        Err(Error::Provider { provider: self, reason: reason.into() })
    }

    /// Registers the provider with a session that is being built; CPU needs no registration.
    pub(super) fn register(self, builder: &mut SessionBuilder, options: &RuntimeOptions) -> ort::Result<()> {
        match self {
            Self::Auto | Self::Cpu => Ok(()),
            Self::Cuda => ep::CUDA::default().with_device_id(options.device).register(builder),
            Self::TensorRt => {
                let mut tensorrt = ep::TensorRT::default().with_device_id(options.device);
                if let Some(folder) = &options.engine_cache {
                    tensorrt = tensorrt
                        .with_engine_cache(true)
                        .with_engine_cache_path(folder.display())
                        .with_timing_cache(true)
                        .with_timing_cache_path(folder.display());
                }
                tensorrt.register(builder)
            }
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| Error::parameter("execution provider", name, names))
    }
}
