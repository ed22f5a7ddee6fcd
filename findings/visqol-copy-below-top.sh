#!/usr/bin/env bash
# ViSQOL with the lattice of its authors' program gives an exact copy anything from 3.7 to 4.8, and a softer copy sometimes more.
#
# Tools:     visqol-python 3.8.0 with ai-edge-litert 2.3.0 (PyPI), of the Python in $PYTHON or the PATH's; speech mode at 16 kHz.
# Guess:     a copy gets the top of the scale, whatever it is a copy of, as with the older polynomial; a softer one no more.
# Found:     the lattice sees more than similarity: noise whose level moves gets 3.7 as a copy of itself, a harmonic tone 4.7. The
#            tone 30 dB softer is ahead of its exact copy. With use_lattice_model=False all of them are 5.0.
# Output:    lattice: tone 4.72, tone 30 dB softer 4.74, noise 3.71; polynomial: 5.0, 5.0, 5.0
# Meaning:   means over unlike clips cannot be read as distances from a top of 5. A mean needs the copies' own beside it, and
#            differences of some hundredths may be differences of level.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-python3}
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check visqol-python==3.8.0 ai-edge-litert==2.3.0
cat >"$folder/run.py" <<'PY'
import numpy as np
from visqol import VisqolApi

RATE = 16_000
random = np.random.default_rng(1)
t = np.arange(6 * RATE) / RATE
phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE
envelope = (np.sin(2 * np.pi * 2.3 * t) > -0.3) * (0.6 + 0.4 * np.sin(2 * np.pi * 3.1 * t))
tone = envelope * sum(np.sin(k * phase) / k for k in range(1, 25))
tone = 0.2 * tone / np.abs(tone).max() + 1e-4 * random.standard_normal(len(t))
noise = 0.05 * envelope * random.standard_normal(len(t))
found = []
for lattice in (True, False):
    judge = VisqolApi()
    judge.create(mode="speech", use_lattice_model=lattice)
    score = lambda reference, copy: float(judge.measure_from_arrays(reference, copy, RATE).moslqo)
    found.append([score(tone, tone), score(tone, tone * 10 ** -1.5), score(noise, noise)])
    print("lattice:" if lattice else "polynomial:", " ".join(f"{value:.3f}" for value in found[-1]))
(tone, softer, noise), plain = found
assert plain == [5.0] * 3, "the polynomial's top"
assert 4.5 < tone < softer - 0.01 < 4.9, "a softer copy is ahead of the copy"
assert 3.4 < noise < 4.0, "noise stays far below"
PY
"$folder/venv/bin/python" "$folder/run.py" 2>/dev/null
