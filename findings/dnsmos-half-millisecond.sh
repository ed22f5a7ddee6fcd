#!/usr/bin/env bash
# DNSMOS moves by up to a quarter of a point when the same speech begins half a millisecond later.
#
# Tools:     sig_bak_ovr.onnx of speechmos 0.0.1.1, with onnxruntime 1.32.0, numpy 2.4.6 and, for the speech, espeakng-loader 0.2.4
#            (PyPI), of the Python in $PYTHON or the PATH's; overall opinion of one part of 9.01 s.
# Guess before: zeros of up to 40 ms ahead of nine seconds move the overall opinion by at most 0.05, with noise behind the speech 0.1.
# Found:     0.25 and 0.22 among one to eight samples, 0.41 and 0.46 among steps of 2 ms up to 40 ms, up and down without an order, while
#            the inverted sound has the same opinion to three places. Recordings of three speakers with that noise moved by 0.26 to
#            0.38 within 40 ms, clean ones by 0.10 to 0.27. The mean over a clip's parts, which begin whole seconds apart, moves
#            by 0.11 and 0.15, and by 0.25 and 0.30, where there are four.
# Output:    clean: 0 to 8 samples later 2.82 to 3.07, 0 to 40 ms later 2.86 to 3.27, inverted +0.000
#            noisy: 0 to 8 samples later 2.12 to 2.34, 0 to 40 ms later 2.11 to 2.57, inverted +0.000
# Meaning:   two codecs whose delays differ by some samples differ in DNSMOS for no other reason. Cut the delay off before, or take the
#            mean over a dozen shifts of each clip; a difference of 0.1 in one clip is none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check --only-binary :all: \
    numpy==2.4.6 onnxruntime==1.32.0 espeakng-loader==0.2.4
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check --only-binary :all: --no-deps speechmos==0.0.1.1
cat >"$folder/run.py" <<'PY'
import ctypes
import importlib.util
import pathlib

import espeakng_loader
import numpy as np
import onnxruntime

RATE, PART = 16_000, 144_160
TEXT = (b"The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It is easy to tell the depth of a "
        b"well. These days a chicken leg is a rare dish. Rice is often served in round bowls. The juice of lemons makes fine punch.")

def spoken(text):
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(1, 0, espeakng_loader.get_data_path().encode(), 0)
    parts = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples, count, _):
        if samples and count:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(take)
    library.espeak_SetVoiceByName(b"en-gb")
    library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, 1, None, None)
    library.espeak_Synchronize()
    return np.concatenate(parts) / 32768, rate

speech, rate = spoken(TEXT)
length = int(len(speech) * RATE / rate)
speech = np.fft.irfft(np.fft.rfft(speech)[:length // 2 + 1], length)
speech *= 0.5 / np.abs(speech).max()
noise = 0.01 * np.random.default_rng(0).standard_normal(length)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
package = pathlib.Path(importlib.util.find_spec("speechmos").origin).parent
session = onnxruntime.InferenceSession(str(package / "dnsmos_models/sig_bak_ovr.onnx"), options)
scale = np.poly1d([-0.06766283, 1.11546468, 0.04602535])  # of the package's get_polyfit_val

def opinion(sound, zeros):
    sound = np.concatenate([np.zeros(zeros), sound])[:PART].astype(np.float32)
    return float(scale(session.run(None, {"input_1": sound[None]})[0][0][2]))

for name, sound in (("clean", speech), ("noisy", speech + noise)):
    few = [opinion(sound, zeros) for zeros in range(9)]
    many = [opinion(sound, zeros) for zeros in range(0, 641, 32)]
    print(f"{name}: 0 to 8 samples later {min(few):.2f} to {max(few):.2f}, 0 to 40 ms later {min(many):.2f} to {max(many):.2f}, "
          f"inverted {opinion(-sound, 0) - few[0]:+.3f}")
    assert abs(opinion(-sound, 0) - few[0]) < 0.01, "the sign of the samples does not count"
    assert max(few) - min(few) > 0.08, "half a millisecond does"
    assert max(many) - min(many) > 0.25, "and 40 ms do more"
PY
"$folder/venv/bin/python" "$folder/run.py" 2>/dev/null
