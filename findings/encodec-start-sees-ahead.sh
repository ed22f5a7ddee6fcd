#!/usr/bin/env bash
# The first code frame of EnCodec's causal, streamable 24 kHz model depends on sound up to seven frames later.
#
# Tools:     encodec 0.1.1 (PyPI) on Debian 12's python3-torch 1.13.1; an empty module stands in for torchaudio, which only
#            the package's functions for files ask for. Random weights: the layers' padding is what counts.
# Guess:     in a causal network a change of sound in frame k changes latents from frame k on.
# Found:     for k of 1 to 6 the first latent that changes is that of frame 0; from frame 7 on it is k. Each convolution pads
#            the start of a file with its input mirrored at the first sample, and the last layer, which has one sample a
#            frame, with the six that follow.
# Output:    first latent changed by a change in frame 0, 1, ...: 0 0 0 0 0 0 0 7 8 9
# Meaning:   the model's own codes of a file cannot be had frame by frame from its start: a live encoder that begins from
#            silence gives other codes for the first 93 ms, one that holds seven frames gives the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=/usr/bin/python3
"$python" -c 'import torch, numpy' 2>/dev/null || { echo "needs Debian's python3-torch" >&2; exit 2; }
"$python" -m pip --version >/dev/null 2>&1 || { echo "needs python3-pip" >&2; exit 2; }
"$python" -m pip install -q --disable-pip-version-check --no-deps --target "$folder/site" encodec==0.1.1 einops==0.8.0 2>/dev/null
mkdir "$folder/site/torchaudio" && : >"$folder/site/torchaudio/__init__.py"
cat >"$folder/run.py" <<'PY'
import torch
from encodec.modules import SEANetEncoder

torch.manual_seed(0)
# The settings of encodec_model_24khz.
encoder = SEANetEncoder(channels=1, norm="weight_norm", causal=True).eval()
hop, frames = 320, 12
sound = 0.1 * torch.randn(1, 1, frames * hop)
changed = []
with torch.no_grad():
    base = encoder(sound)
    for k in range(10):
        other = sound.clone()
        other[..., k * hop + hop // 2] += 0.5
        difference = (encoder(other) - base).abs().amax(dim=1)[0]
        changed.append(str(int((difference > 1e-7).nonzero()[0])))
print("first latent changed by a change in frame 0, 1, ...:", " ".join(changed))
PY
found=$(PYTHONPATH="$folder/site" "$python" -W ignore "$folder/run.py")
echo "$found"
[ "$found" = "first latent changed by a change in frame 0, 1, ...: 0 0 0 0 0 0 0 7 8 9" ] ||
  { echo "the behavior has changed" >&2; exit 1; }
