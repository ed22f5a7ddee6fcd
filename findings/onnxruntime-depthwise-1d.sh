#!/usr/bin/env bash
# ONNX Runtime takes three times as long for a depthwise convolution along one dimension as for the same one written as an
# image of height 1, transposing included.
#
# Tools:     onnxruntime 1.32.0, onnx 1.23.2 (PyPI), CPU, one thread, x86 with AVX-512
# Guess:     about a microsecond for each of the 256 groups, in one dimension as in two.
# Found:     28 us against 9 for one step of 256 channels and 7 taps, 57 against 16 for 50 steps: the fast kernels for channels in blocks
#            are for images alone.
# Output:    1 steps: 28.1 us in one dimension, 9.0 us as an image; 50 steps: 56.8 us in one dimension, 16.1 us as an image
# Meaning:   exporters of streaming networks gain half of a ConvNeXt's time by an axis of length 1; PyTorch's own exporter writes
#            Conv1d as one dimension.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.3.5
cat >"$folder/run.py" <<'PY'
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

C, K = 256, 7
rng = np.random.default_rng(0)
taps, bias = rng.standard_normal((C, 1, K)).astype(np.float32), rng.standard_normal(C).astype(np.float32)
node = helper.make_node
PLAIN = [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("Conv", ["t", "w", "b"], ["c"], group=C, kernel_shape=[K]),
         node("Transpose", ["c"], ["y"], perm=[0, 2, 1])]
IMAGE = [node("Unsqueeze", ["x", "one"], ["u"]), node("Transpose", ["u"], ["t"], perm=[0, 3, 1, 2]),
         node("Conv", ["t", "w", "b"], ["c"], group=C, kernel_shape=[1, K]),
         node("Transpose", ["c"], ["v"], perm=[0, 2, 3, 1]), node("Squeeze", ["v", "one"], ["y"])]


def session(nodes, weight):
    held = {"w": weight, "b": bias, **({"one": np.array([1], np.int64)} if nodes is IMAGE else {})}
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "T", C])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(v, k) for k, v in held.items()])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def microseconds(run):
    run()
    best = float("inf")
    for _ in range(20):
        start = time.process_time()
        for _ in range(100):
            run()
        best = min(best, (time.process_time() - start) * 1e4)
    return best


plain, image, found = session(PLAIN, taps), session(IMAGE, taps[:, :, None]), []
for steps in (1, 50):
    x = rng.standard_normal((1, steps + K - 1, C)).astype(np.float32)
    assert np.abs(plain.run(None, {"x": x})[0] - image.run(None, {"x": x})[0]).max() < 1e-5
    a, b = (microseconds(lambda: s.run(None, {"x": x})) for s in (plain, image))
    found.append(f"{steps} steps: {a:.1f} us in one dimension, {b:.1f} us as an image")
    slower = a / b
print("; ".join(found))
if slower < 1.5:
    raise SystemExit("the behavior has changed")
PY
"$python" "$folder/run.py"
