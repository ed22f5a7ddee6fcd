use std::fmt;
use std::str::FromStr;

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
    ///
    /// ```
    /// use siskin_model::runtime::Provider;
    ///
    /// assert_eq!("cuda".parse::<Provider>()?, Provider::Cuda);
    /// assert_eq!(Provider::TensorRt.name(), "tensorrt");
    /// # Ok::<(), siskin_model::Error>(())
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
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
