//! What the encoder and the decoder have in common: how a network is to be run.

use std::path::PathBuf;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use siskin_core::runtime::{Provider, Runtime, RuntimeOptions};

/// What computes a network; the property `execution-provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstSiskinExecutionProvider")]
#[repr(i32)]
pub enum ExecutionProvider {
    /// The first that works.
    #[default]
    #[enum_value(name = "The first of TensorRT, CUDA and CPU that works", nick = "auto")]
    Auto,
    /// The processor.
    #[enum_value(name = "The processor", nick = "cpu")]
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
pub(crate) struct NetworkSettings {
    /// Name or path of the bundle; none leaves it to the stream.
    pub(crate) model: Option<String>,
    provider: ExecutionProvider,
    device: i32,
    threads: u32,
    engine_cache: Option<PathBuf>,
}

impl NetworkSettings {
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

    /// The properties' descriptions; `model` is the default of that property and `blurb` what it is for.
    pub(crate) fn specs(model: Option<&str>, blurb: &str) -> Vec<glib::ParamSpec> {
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
                .blurb("What computes the network; one that cannot be had is an error, unless it is auto")
                .mutable_ready()
                .build(),
            glib::ParamSpecInt::builder("device")
                .nick("Device")
                .blurb("Number of the GPU for cuda and tensorrt")
                .minimum(0)
                .default_value(defaults.device)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("threads")
                .nick("Threads")
                .blurb("Threads of the network on the processor; more than one rarely pays for audio")
                .minimum(1)
                .maximum(256)
                .default_value(defaults.threads)
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("engine-cache-path")
                .nick("Engine cache path")
                .blurb("Folder in which TensorRT keeps built engines; without it each start builds them anew")
                .mutable_ready()
                .build(),
        ]
    }

    /// Sets the property if it is one of these.
    pub(crate) fn set(&mut self, value: &glib::Value, spec: &glib::ParamSpec) -> bool {
        // GObject has checked the type against the description above before it calls.
        match spec.name() {
            "model" => self.model = value.get::<Option<String>>().ok().flatten().filter(|m| !m.is_empty()),
            "execution-provider" => self.provider = value.get().unwrap_or_default(),
            "device" => self.device = value.get().unwrap_or_default(),
            "threads" => self.threads = value.get().unwrap_or_default(),
            "engine-cache-path" => {
                let path = value.get::<Option<String>>().ok().flatten();
                self.engine_cache = path.filter(|p| !p.is_empty()).map(PathBuf::from);
            }
            _ => return false,
        }
        true
    }

    /// The property's value if it is one of these.
    pub(crate) fn get(&self, spec: &glib::ParamSpec) -> Option<glib::Value> {
        Some(match spec.name() {
            "model" => self.model.to_value(),
            "execution-provider" => self.provider.to_value(),
            "device" => self.device.to_value(),
            "threads" => self.threads.to_value(),
            "engine-cache-path" => self.engine_cache.as_ref().map(|p| p.display().to_string()).to_value(),
            _ => return None,
        })
    }

    /// The descriptions for elements of video, whose networks are worth more than one thread; without that of a bundle.
    pub(crate) fn video_specs() -> Vec<glib::ParamSpec> {
        let is_other = |spec: &glib::ParamSpec| spec.name() != "model" && spec.name() != "threads";
        let mut specs: Vec<_> = Self::specs(None, "").into_iter().filter(is_other).collect();
        specs.push(
            glib::ParamSpecUInt::builder("threads")
                .nick("Threads")
                .blurb("Threads of the network on the processor; 0 is one a core")
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

    /// ONNX Runtime with these settings.
    pub(crate) fn runtime(&self) -> siskin_core::Result<Runtime> {
        Runtime::load(&RuntimeOptions {
            provider: self.provider.into(),
            device: self.device,
            threads: match self.threads {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                threads => threads as usize,
            },
            engine_cache: self.engine_cache.clone(),
        })
    }
}

/// The read-only properties `active-provider` and `stats`.
pub(crate) fn state_specs() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("active-provider")
            .nick("Active provider")
            .blurb("The execution provider that runs the network; empty while there is none")
            .read_only()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("What has been counted since the start")
            .read_only()
            .build(),
    ]
}

/// Metadata of an element of this plugin.
pub(crate) fn metadata(name: &str, class: &str, text: &str) -> gst::subclass::ElementMetadata {
    static AUTHOR: LazyLock<String> =
        LazyLock::new(|| format!("The Siskin developers <{}>", env!("CARGO_PKG_REPOSITORY")));
    gst::subclass::ElementMetadata::new(name, class, text, &AUTHOR)
}
