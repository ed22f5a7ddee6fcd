#!/usr/bin/env bash
# EnCodec cannot decode what it has coded of recordings of certain lengths: at 48 kHz one in 297, in its files one in 5,955.
#
# Tools:     encodec 0.1.1 (PyPI) with PyTorch 2.15.0, of the Python in $PYTHON or Debian's; an empty module stands in for
#            torchaudio, which only the package's functions for files ask for. Random weights: lengths are what counts.
# Guess:     every length decodes, to at least as many samples as were coded.
# Found:     a last segment of 161 to 320 samples (one frame) ends before the segment ahead of it, which was filled up to 150
#            frames, and _linear_overlap_add adds 48,000 samples into fewer. A file of 6,720 samples at 24 kHz has 21 frames,
#            but its reader counts ceil(6720 / 24000 * 75) = 22 in floating point. (Of lengths up to 100 s 403 count wrong.)
# Output:    48 kHz: 47620 decodes, 47720 RuntimeError, 47920 decodes; .ecdc: 6400 decodes, 6720 EOFError, 7040 decodes
# Meaning:   a corpus coded without an error may hold files that cannot be decoded; decoders have to count segments and frames
#            in integers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import torch, numpy' 2>/dev/null || { echo "needs python3-torch" >&2; exit 2; }
"$python" -m pip --version >/dev/null 2>&1 || { echo "needs python3-pip" >&2; exit 2; }
"$python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder/site" encodec==0.1.1 einops==0.8.0 2>/dev/null
mkdir "$folder/site/torchaudio" && : >"$folder/site/torchaudio/__init__.py"
cat >"$folder/run.py" <<'PY'
import importlib
import sys

import torch
from encodec import EncodecModel

files = importlib.import_module("encodec.compress")
torch.manual_seed(0)


def ready(model, bandwidth):
    model.eval().set_target_bandwidth(bandwidth)
    for layer in model.quantizer.vq.layers:
        layer._codebook.inited.fill_(1)
    return model


def outcome(work):
    try:
        work()
        return "decodes"
    except Exception as error:
        return type(error).__name__


with torch.no_grad():
    wide = ready(EncodecModel.encodec_model_48khz(pretrained=False), 3.0)
    found = [f"{n} " + outcome(lambda: wide.decode(wide.encode(0.1 * torch.randn(1, 2, n)))) for n in (47620, 47720, 47920)]
    narrow = ready(EncodecModel.encodec_model_24khz(pretrained=False), 1.5)
    narrow.name = "encodec_24khz"
    files.MODELS["encodec_24khz"] = lambda: narrow
    read = [f"{n} " + outcome(lambda: files.decompress(files.compress(narrow, 0.1 * torch.randn(1, n))))
            for n in (6400, 6720, 7040)]
print("PyTorch", torch.__version__, file=sys.stderr)
print("48 kHz: " + ", ".join(found) + "; .ecdc: " + ", ".join(read))
PY
found=$(PYTHONPATH="$folder/site" "$python" -W ignore "$folder/run.py")
echo "$found"
[ "$found" = "48 kHz: 47620 decodes, 47720 RuntimeError, 47920 decodes; .ecdc: 6400 decodes, 6720 EOFError, 7040 decodes" ] ||
  { echo "the behavior has changed" >&2; exit 1; }
