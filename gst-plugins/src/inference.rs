//! How an element runs its networks: the properties and the ONNX Runtime that follows from them.

use std::path::PathBuf;

use gst::glib;
use gst::prelude::*;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

use crate::properties;

/// Execution provider of a network; the property `execution-provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstSiskinExecutionProvider")]
#[repr(i32)]
pub enum ExecutionProvider {
    /// The first that works.
    #[default]
    #[enum_value(name = "The first of TensorRT, CUDA and CPU that works", nick = "auto")]
    Auto,
    /// The CPU.
    #[enum_value(name = "CPU", nick = "cpu")]
    Cpu,
    /// An NVIDIA GPU through CUDA.
    #[enum_value(name = "An NVIDIA GPU through CUDA and cuDNN", nick = "cuda")]
    Cuda,
    /// An NVIDIA GPU through TensorRT.
    #[enum_value(name = "An NVIDIA GPU through TensorRT", nick = "tensorrt")]
    TensorRt,
}

impl From<ExecutionProvider> for Provider {
    fn from(provider: ExecutionProvider) -> Self {
        match provider {
            ExecutionProvider::Auto => Self::Auto,
            ExecutionProvider::Cpu => Self::Cpu,
            ExecutionProvider::Cuda => Self::Cuda,
            ExecutionProvider::TensorRt => Self::TensorRt,
        }
    }
}

/// The properties of an element with a network.
#[derive(Debug, Clone)]
pub(crate) struct InferenceSettings {
    /// Name or directory of the bundle; none leaves it to the stream.
    pub(crate) model: Option<String>,
    provider: ExecutionProvider,
    device: i32,
    threads: u32,
    engine_cache: Option<PathBuf>,
}

impl InferenceSettings {
    /// The defaults, with a bundle or with none.
    pub(crate) fn new(model: Option<&str>) -> Self {
        let options = RuntimeOptions::default();
        Self {
            model: model.map(str::to_owned),
            provider: ExecutionProvider::default(),
            device: options.device,
            threads: options.threads as u32,
            engine_cache: None,
        }
    }

    /// The properties; `model` is the default of that property and `blurb` its help text.
    pub(crate) fn audio_specs(model: Option<&str>, blurb: &str) -> Vec<glib::ParamSpec> {
        let defaults = Self::new(model);
        vec![
            glib::ParamSpecString::builder("model")
                .nick("Model bundle")
                .blurb(blurb)
                .default_value(model)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("execution-provider", defaults.provider)
                .nick("Execution provider")
                .blurb("Execution provider of the network; auto falls back, any other that is missing is an error")
                .mutable_ready()
                .build(),
            glib::ParamSpecInt::builder("device")
                .nick("Device")
                .blurb("GPU number, for cuda and tensorrt")
                .minimum(0)
                .default_value(defaults.device)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("threads")
                .nick("Threads")
                .blurb("CPU threads of the network; more than one rarely pays for audio")
                .minimum(1)
                // More threads than this are a typing error.
                .maximum(256)
                .default_value(defaults.threads)
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("engine-cache-path")
                .nick("Engine cache path")
                .blurb("Directory in which TensorRT keeps built engines; without it each start builds them anew")
                .mutable_ready()
                .build(),
        ]
    }

    /// Sets the property if it is one of these.
    pub(crate) fn set_property(&mut self, value: &glib::Value, name: &str) -> bool {
        // GObject has checked types and ranges.
        match name {
            "model" => self.model = properties::text_from(value),
            "execution-provider" => self.provider = value.get().unwrap_or_default(),
            "device" => self.device = value.get().unwrap_or_default(),
            "threads" => self.threads = value.get().unwrap_or_default(),
            "engine-cache-path" => self.engine_cache = properties::text_from(value).map(PathBuf::from),
            _ => return false,
        }
        true
    }

    /// The property's value if it is one of these.
    pub(crate) fn property(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "model" => self.model.to_value(),
            "execution-provider" => self.provider.to_value(),
            "device" => self.device.to_value(),
            "threads" => self.threads.to_value(),
            "engine-cache-path" => self.engine_cache.as_ref().map(|p| p.display().to_string()).to_value(),
            _ => return None,
        })
    }

    /// The properties of video elements, whose networks gain from more than one thread; without `model`.
    pub(crate) fn video_specs() -> Vec<glib::ParamSpec> {
        // A real-time encoder has a `model` of its own, and a decoder's comes with the stream.
        let is_other = |spec: &glib::ParamSpec| spec.name() != "model" && spec.name() != "threads";
        let mut specs: Vec<_> = Self::audio_specs(None, "").into_iter().filter(is_other).collect();
        specs.push(
            glib::ParamSpecUInt::builder("threads")
                .nick("Threads")
                .blurb("CPU threads of the codec or of its network; 0 is one per core")
                .maximum(256)
                .mutable_ready()
                .build(),
        );
        specs
    }

    /// The defaults for elements of video.
    pub(crate) fn for_video(model: Option<&str>) -> Self {
        Self { threads: 0, ..Self::new(model) }
    }

    /// Threads of a codec without a network; 0 is one per core.
    pub(crate) fn threads(&self) -> usize {
        self.threads as usize
    }

    /// ONNX Runtime with these settings, loaded when it is needed.
    ///
    /// # Errors
    /// What [`Runtime::load_when_needed`] returns.
    pub(crate) fn load_runtime(&self) -> siskin_core::Result<Runtime> {
        // When the first network is opened, which video without one never does.
        Runtime::load_when_needed(&RuntimeOptions {
            provider: self.provider.into(),
            device: self.device,
            threads: match self.threads {
                // Asked at the start and not when the property is set: containers may have changed the number.
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                threads => threads as usize,
            },
            engine_cache: self.engine_cache.clone(),
        })
    }
}
