"""The teacher: the text detection network PP-OCRv6 small of the PyPI package `rapidocr` (Apache-2.0).

It is a DB network (differentiable binarization, arXiv 1911.08947): a picture gives the probability of text at each
pixel. The features that the student learns are those that its head reads: 96 channels at a quarter of the size.
"""
from importlib.resources import files

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

FEATURES, CHANNELS = "p2o.pd_op.concat.1.0", 96
# As PP-OCR normalizes: mean and deviation of ImageNet in the order blue, green, red.
MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def model():
    """The ONNX graph of the package, with the features as a second output."""
    graph = onnx.load_from_string(files("rapidocr").joinpath("models/PP-OCRv6_det_small.onnx").read_bytes())
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(FEATURES))
    return graph


class Teacher:
    """Runs the network on pictures u8 [h, w, 3] whose sides are multiples of 32, blue first."""

    def __init__(self, threads=1):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(model().SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, picture, with_features=False):
        """Probabilities f32 [h, w], and features f32 [96, h / 4, w / 4] if asked for."""
        x = ((picture.astype(np.float32) / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[None]
        out = self.session.run(["fetch_name_0", FEATURES] if with_features else ["fetch_name_0"], {"x": x})
        return (out[0][0, 0], out[1][0]) if with_features else out[0][0, 0]


def head():
    """Weights of the layers behind the features, as torch names them (scale of batch norms is folded in already)."""
    weights = {w.name: numpy_helper.to_array(w) for w in model().graph.initializer}
    return {
        "reduce.weight": weights["conv2d_170.w_0"], "reduce.bias": weights["p2o.pd_op.reshape.74.0"].ravel(),
        "up.weight": weights["auto.cast.95"], "up.bias": weights["p2o.pd_op.reshape.75.0"].ravel(),
        "last.weight": weights["auto.cast.98"], "last.bias": weights["p2o.pd_op.reshape.76.0"].ravel(),
    }
