"""What `prepare.py` wrote, as clips and batches."""
import json
from pathlib import Path

import numpy as np
import torch
from features import HOP, MELS

# Features are scaled to about unit variance; the bundle's manifest holds the same numbers.
MEL_SHIFT, MEL_SCALE, PITCH_SHIFT, PITCH_SCALE = -8.0, 3.5, 5.2, 0.3
CHARACTERS = sorted("#;:,.!?…— " + "ˈˌːˑʲʰʷ̩̯̃͡ᵊ" + "abcdefhijklmnopqrstuvwxyzæçðøħŋœɐɑɒɔɕɖəɚɛɜɝɟɡɣɥɦɨɪɬɭɯɲɹɻɾʀʁʂʃʈʊʋʌʎʏʐʒʔʝβθχᵻ")


class Speech:
    """All clips of a folder, of those voices that `voices` names or of all."""

    def __init__(self, folder, voices=None):
        self.clips, self.voices = [], list(voices or [])
        for path in sorted(Path(folder).glob("*.npz")):
            z = np.load(path)
            arrays = {k: z[k] for k in ("durations", "mel", "f0", "phase", "pcm")}
            token, frame = 0, 0
            for c in json.loads(str(z["info"])):
                n, t = len(c["tokens"]), c["frames"]
                if c["voice"] not in self.voices and voices is None:
                    self.voices.append(c["voice"])
                if c["voice"] in self.voices:
                    cut = slice(frame, frame + t)
                    self.clips.append({**c, "durations": arrays["durations"][token: token + n].astype(np.int64),
                                       "mel": arrays["mel"][cut], "f0": arrays["f0"][cut], "phase": arrays["phase"][cut],
                                       "pcm": arrays["pcm"][frame * HOP: (frame + t) * HOP]})
                token, frame = token + n, frame + t
        self.train = [c for c in self.clips if not c["test"]]
        self.test = [c for c in self.clips if c["test"]]

    def speaker(self, clip):
        return self.voices.index(clip["voice"])


def ids(tokens):
    """Characters -> numbers from 1; what the alphabet has not is left out by giving 0, which has no sound."""
    return torch.tensor([CHARACTERS.index(c) + 1 if c in CHARACTERS else 0 for c in tokens])


def features(clip):
    """Scaled features [T, MELS + 2]; the pitch of unvoiced frames runs straight from voice to voice."""
    f0 = clip["f0"]
    voiced = f0 > 0
    t = np.arange(len(f0))
    pitch = np.interp(t, t[voiced], np.log(f0[voiced])) if voiced.any() else np.full(len(f0), PITCH_SHIFT)
    mel = (clip["mel"].astype(np.float32) - MEL_SHIFT) / MEL_SCALE
    rows = [mel, ((pitch - PITCH_SHIFT) / PITCH_SCALE)[:, None], voiced[:, None]]
    return torch.from_numpy(np.concatenate(rows, 1).astype(np.float32))


assert MELS + 2 == features({"f0": np.zeros(1), "mel": np.zeros((1, MELS))}).shape[1]
