//! Split computing: frames to packets of features, and those to what a server's networks find.

use std::sync::Mutex;

use numpy::{PyArray1, PyArray2, PyArrayLikeDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use siskin_core::bundle::FeatureBundle;
use siskin_core::features::{COLORIMETRY, Decoder, DecoderOptions, Encoder};
use siskin_core::media::{PixelFormat, Size, VideoFrame, YuvMatrix};

use crate::errors::to_py_err;
use crate::model::{load_runtime, lock};

/// The device half: frames to packets. Packets are independent of each other.
#[pyclass(name = "FeatureEncoder", module = "siskin", frozen)]
pub(crate) struct FeatureEncoder {
    encoder: Mutex<Encoder>,
    bundle: FeatureBundle,
}

#[pymethods]
impl FeatureEncoder {
    #[new]
    #[pyo3(signature = (model = "text-features", level = None, provider = "auto"))]
    fn new(py: Python<'_>, model: &str, level: Option<u8>, provider: &str) -> PyResult<Self> {
        let open = || -> siskin_core::Result<Self> {
            let bundle = FeatureBundle::find(model)?;
            let mut encoder = Encoder::new(&bundle, &load_runtime(provider)?)?;
            level.map_or(Ok(()), |level| encoder.set_level(level))?;
            Ok(Self { encoder: Mutex::new(encoder), bundle })
        };
        py.detach(open).map_err(to_py_err)
    }

    /// The packet of a frame: RGB, uint8 [height, width, 3].
    fn encode<'py>(&self, py: Python<'py>, frame: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let frame = read_frame(frame)?;
        let packet = py.detach(|| lock(&self.encoder).encode(&frame.view()).map(<[u8]>::to_vec));
        Ok(PyBytes::new(py, &packet.map_err(to_py_err)?))
    }

    /// The level of the next packets, 0 the finest.
    #[getter]
    fn level(&self, py: Python<'_>) -> u8 {
        // Without the GIL, since a frame that is being encoded holds the lock.
        py.detach(|| lock(&self.encoder).level())
    }

    /// Sets the level of the next packets.
    fn set_level(&self, py: Python<'_>, level: u8) -> PyResult<()> {
        py.detach(|| lock(&self.encoder).set_level(level)).map_err(to_py_err)
    }

    /// Levels of the bundle.
    #[getter]
    fn levels(&self) -> u8 {
        self.bundle.manifest().levels
    }

    /// Name of the bundle.
    #[getter]
    fn model(&self) -> String {
        self.bundle.manifest().name.clone()
    }

    /// Id of the bundle.
    #[getter]
    fn model_id(&self) -> String {
        self.bundle.manifest().id().to_string()
    }
}

/// The server half: packets to objects and maps.
#[pyclass(name = "FeatureDecoder", module = "siskin", frozen)]
pub(crate) struct FeatureDecoder {
    decoder: Mutex<Decoder>,
}

#[pymethods]
impl FeatureDecoder {
    #[new]
    #[pyo3(signature = (model = "text-features", provider = "auto"))]
    fn new(py: Python<'_>, model: &str, provider: &str) -> PyResult<Self> {
        let open = || -> siskin_core::Result<Self> {
            let bundle = FeatureBundle::find(model)?;
            let decoder = Decoder::new(&bundle, &load_runtime(provider)?, &DecoderOptions::default())?;
            Ok(Self { decoder: Mutex::new(decoder) })
        };
        py.detach(open).map_err(to_py_err)
    }

    /// What is found in the frame of a packet: a dict with `width`, `height`, `level` and `objects`, each of those a dict with
    /// `corners`, `score` and `properties`; with `maps` also the map of each head, float32 [rows, columns].
    #[pyo3(signature = (packet, maps = false))]
    fn decode<'py>(&self, py: Python<'py>, packet: &[u8], maps: bool) -> PyResult<Bound<'py, PyDict>> {
        let (report, found) = py
            .detach(|| {
                let mut decoder = lock(&self.decoder);
                let decoded = decoder.decode(packet)?;
                let kept: Vec<_> = match maps {
                    true => decoded.maps().map(|(name, map)| (name.to_owned(), map.clone())).collect(),
                    false => Vec::new(),
                };
                Ok((decoded.report(None), kept))
            })
            .map_err(to_py_err)?;
        let out = PyDict::new(py);
        out.set_item("width", report.width)?;
        out.set_item("height", report.height)?;
        out.set_item("level", report.level)?;
        let mut objects = Vec::with_capacity(report.objects.len());
        for object in report.objects {
            let entry = PyDict::new(py);
            entry.set_item("corners", object.corners.map(Vec::from).to_vec())?;
            entry.set_item("score", object.score)?;
            entry.set_item("properties", object.properties)?;
            objects.push(entry);
        }
        out.set_item("objects", objects)?;
        if maps {
            let all = PyDict::new(py);
            for (name, map) in found {
                let array: Bound<'py, PyArray2<f32>> =
                    PyArray1::from_vec(py, map.values).reshape([map.rows, map.columns])?;
                all.set_item(name, array)?;
            }
            out.set_item("maps", all)?;
        }
        Ok(out)
    }
}

/// Reads a frame of RGB as 4:2:0 in BT.601 of limited range, which the device half was trained on.
fn read_frame(value: &Bound<'_, PyAny>) -> PyResult<VideoFrame> {
    let array: PyArrayLikeDyn<'_, u8> = value.extract()?;
    let &[height, width, 3] = array.shape() else {
        let text = format!("a frame of shape {:?}, allowed: [height, width, 3]", array.shape());
        return Err(PyValueError::new_err(text));
    };
    let side = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
    let size = Size::new(side(width), side(height)).map_err(to_py_err)?;
    let data: Vec<u8> = array.as_array().iter().copied().collect();
    let rgb = VideoFrame::from_data(PixelFormat::Rgb, size, data).map_err(to_py_err)?;
    let matrix = YuvMatrix::from_colorimetry(&COLORIMETRY);
    let mut out = VideoFrame::new(PixelFormat::I420, size);
    rgb.view().convert_to(PixelFormat::I420, &matrix, &mut out);
    Ok(out)
}
