"""Cut the short test clips of testdata/clips/ from the unpacked Debian packages (run `fetch.py` first).

Only speakers and music that training never sees; rates as in the source, except that G.722 is decoded at 16 kHz.
"""
import subprocess
from pathlib import Path

import numpy as np
import soundfile as sf

PACKAGES = Path(".siskin/corpus/packages")
OUT = Path("testdata/clips")


def g722(path):
    raw = subprocess.run(["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-ar", "16000", "-"],
                         check=True, capture_output=True).stdout
    return np.frombuffer(raw, "<i2").astype(np.float64) / 32768, 16000


def ogg(path):
    audio, rate = sf.read(path, always_2d=True)
    return audio.mean(1), rate


def find(package, name):
    return next((PACKAGES / package).rglob(name))


def write(name, audio, rate):
    fade = np.minimum(1, np.minimum(np.arange(len(audio)), np.arange(len(audio))[::-1]) / (0.005 * rate))
    sf.write(OUT / name, np.clip(audio * fade, -1, 1), rate, subtype="PCM_16")
    print(name, rate, f"{len(audio) / rate:.2f} s")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    audio, rate = g722(find("asterisk-core-sounds-it-g722", "demo-congrats.g722"))
    write("speech-it-male.flac", audio[: 10 * rate], rate)
    audio, rate = g722(find("asterisk-core-sounds-fr-g722", "demo-congrats.g722"))
    write("speech-fr-female.flac", audio[: 10 * rate], rate)
    names = ["w_2_queen", "holly_leaves", "digitalthermometer", "woman_dancing", "4_mars"]
    parts = [ogg(find("tuxpaint-stamps-default", f"{n}_desc_be.ogg")) for n in names]
    write("speech-be.flac", np.concatenate([p[0] for p in parts])[: 10 * parts[0][1]], parts[0][1])
    audio, rate = ogg(find("tuxpaint-stamps-default", "w_1_king_desc_el.ogg"))
    noise = np.fft.irfft(np.fft.rfft(np.random.default_rng(1).standard_normal(len(audio)))
                         / np.sqrt(np.arange(len(audio) // 2 + 1) + 1), len(audio))
    gain = np.sqrt(np.mean(audio ** 2) / np.mean(noise ** 2)) * 10 ** (-10 / 20)
    write("speech-el-noisy.flac", 0.8 * (audio + gain * noise), rate)
    audio, rate = ogg(find("wesnoth-1.16-music", "knolls.ogg"))
    write("music.flac", audio[20 * rate: 28 * rate], rate)


if __name__ == "__main__":
    main()
