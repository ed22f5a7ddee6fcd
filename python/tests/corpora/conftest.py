"""What the readers' tests share: recordings, manifests of each kind, the program."""
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(os.environ.get("SISKIN_PROGRAM", ROOT / "target/debug/siskin"))


def voice(samples, pitch, rate=24_000):
    time = np.arange(samples) / rate
    tone = sum(np.sin(2 * np.pi * pitch * h * time) / h for h in range(1, 12))
    return (0.12 * tone * (1 + np.sin(2 * np.pi * 4 * time))).astype(np.float32)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """A folder with nine recordings of 0.4 to 1.2 s at 24 kHz, one that is broken, and a manifest of NeMo."""
    folder = tmp_path_factory.mktemp("recordings")
    lines = []
    for n in range(9):
        name = f"{'anna' if n % 2 else 'ben'}/take-1.{n}.wav"
        (folder / name).parent.mkdir(exist_ok=True)
        sf.write(folder / name, voice(9600 + 2400 * n, 110 + 10 * n), 24_000)
        lines.append({"audio_filepath": name, "duration": 0.4 + 0.1 * n, "text": f"take number {n}", "speaker": name.split("/")[0]})
    (folder / "broken.wav").write_bytes(b"RIFF")
    lines.append({"audio_filepath": "broken.wav", "duration": 1.0, "text": "never read"})
    (folder / "train.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def export(source, out, *options, code=1, stages=3):
    """Runs `siskin tokens export`; one recording is broken, so the exit code is 1."""
    command = [PROGRAM, "tokens", "export", "-q", "--stages", str(stages), source, out, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="session")
def reference(recordings, tmp_path_factory):
    """Codes uint16 [K, T] by utterance, from the format that is read without any library."""
    out = tmp_path_factory.mktemp("reference") / "all.jsonl"
    export(recordings / "train.json", out)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 9
    return {line["id"]: np.array(line["codes"], np.uint16) for line in lines}
