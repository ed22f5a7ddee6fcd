#!/usr/bin/env bash
# The decoder of DAC at 16 and 24 kHz gives eight samples less than its frames stand for.
#
# Tools:     descript-audio-codec 1.0.0 (PyPI) on Debian 12's python3-torch 1.13.1; its network's modules alone, with empty
#            modules for audiotools, which only the rest of the package asks for. Random weights: shapes are what counts.
# Guess:     20 frames of 320 samples decode to 6,400, as 20 frames of 512 samples at 44.1 kHz decode to 10,240.
# Found:     6,392. Transposed convolutions pad by half the stride, rounded up, without output padding: at the stride of 5 a
#            sample is lost at the end, which the strides of 4 and 2 after it make eight. At 44.1 kHz all strides are even.
# Output:    20 frames decode to 6392 of 6400 samples, 10240 of 10240 samples
# Meaning:   the decoded file is shorter than its source and no whole number of frames long; a loop that joins decoded
#            pieces loses eight samples at each joint.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=/usr/bin/python3
"$python" -c 'import torch, numpy' 2>/dev/null || { echo "needs Debian's python3-torch" >&2; exit 2; }
"$python" -m pip --version >/dev/null 2>&1 || { echo "needs python3-pip" >&2; exit 2; }
"$python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder/site" descript-audio-codec==1.0.0 \
  einops==0.8.0 2>/dev/null
cat >"$folder/run.py" <<'PY'
import sys
import types

import torch

tools, learning = types.ModuleType("audiotools"), types.ModuleType("audiotools.ml")
tools.AudioSignal = tools.STFTParams = object
learning.BaseModel = torch.nn.Module
tools.ml = learning
sys.modules.update({"audiotools": tools, "audiotools.ml": learning})
# The package's own start would import its command line.
for name in ("dac", "dac.model", "dac.nn"):
    module = types.ModuleType(name)
    module.__path__ = [f"{sys.argv[1]}/{name.replace('.', '/')}"]
    sys.modules[name] = module
base = types.ModuleType("dac.model.base")
base.CodecMixin = object
sys.modules["dac.model.base"] = base
from dac.model.dac import Decoder

found = []
for rates in ([8, 5, 4, 2], [8, 8, 4, 2]):
    decoder = Decoder(64, 64, rates).eval()
    hop = torch.tensor(rates).prod().item()
    with torch.no_grad():
        samples = decoder(torch.zeros(1, 64, 20)).shape[-1]
    found.append(f"{samples} of {20 * hop} samples")
print("20 frames decode to", ", ".join(found))
PY
found=$(PYTHONPATH="$folder/site" "$python" -W ignore "$folder/run.py" "$folder/site")
echo "$found"
[ "$found" = "20 frames decode to 6392 of 6400 samples, 10240 of 10240 samples" ] ||
  { echo "the behavior has changed" >&2; exit 1; }
