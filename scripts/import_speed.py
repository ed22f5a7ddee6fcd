"""CPU time of published codecs in Siskin beside their PyTorch references, one thread each, in one run.

    pip install -r models/requirements-imports.txt
    scripts/import_speed.py encodec mimi dac snac [--siskin target/release/siskin]

Weights are seeded and random, of the released sizes; time does not depend on their values. Start-up is taken off by the
difference of a long and a short file. Prints CPU seconds per second of sound: the reference on the whole file, Siskin on
files (packets of a second) and live (packets of one frame), and the ratios.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
SHORT, LONG = 5, 25


def encodec():
    from encodec import EncodecModel

    model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    model.set_target_bandwidth(6.0)
    for layer in model.quantizer.vq.layers:
        layer._codebook.inited.fill_(1)
    return model, 24000, 8, "model.th", lambda x: model.decode(model.encode(x))


def mimi():
    from transformers import MimiConfig, MimiModel

    model = MimiModel(MimiConfig()).eval()
    return model, 24000, 8, None, lambda x: model.decode(model.encode(x, num_quantizers=8).audio_codes)


def dac():
    from transformers import DacConfig, DacModel

    model = DacModel(DacConfig()).eval()
    return model, model.config.sampling_rate, 9, None, lambda x: model.decode(audio_codes=model.encode(x).audio_codes)


def snac():
    import snac as package

    config = dict(sampling_rate=24000, encoder_dim=48, encoder_rates=[2, 4, 8, 8], decoder_dim=1024,
                  decoder_rates=[8, 8, 4, 2], attn_window_size=None, codebook_size=4096, codebook_dim=8,
                  vq_strides=[4, 2, 1])
    model = package.SNAC(**config).eval()
    return model, 24000, 7, "pytorch_model.bin", lambda x: model.decode(model.encode(x))


KINDS = {"encodec": encodec, "mimi": mimi, "dac": dac, "snac": snac}


def sound(seconds, rate):
    """A tone in noise, quiet enough for any codec."""
    t = np.arange(seconds * rate) / rate
    noise = np.random.default_rng(1).standard_normal(t.size)
    return (0.05 * np.sin(2 * np.pi * 220 * t) + 0.02 * noise).astype(np.float32)


def write_wav(path, samples, rate):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def cpu_of(command, environment):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_reference(run, rate):
    with torch.no_grad():
        x = torch.from_numpy(sound(LONG, rate))[None, None]
        run(x[..., : 2 * rate])
        before = resource.getrusage(resource.RUSAGE_SELF)
        run(x)
        after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / LONG


def measure_siskin(program, folder, rate, stages, packets):
    environment = {**os.environ, "SISKIN_DEV_ROOT": str(ROOT), "SISKIN_BUNDLES": str(folder)}
    spent = []
    for seconds in (SHORT, LONG):
        source, coded = folder / "in.wav", folder / "out.mka"
        write_wav(source, sound(seconds, rate), rate)
        encode = [program, "encode", "-y", "--quiet", "-m", "bundle", "--stages", str(stages), *packets]
        spent.append(cpu_of([*encode, str(source), str(coded)], environment)
                     + cpu_of([program, "decode", "-y", "--quiet", str(coded), str(folder / "back.wav")], environment))
    return (spent[1] - spent[0]) / (LONG - SHORT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--siskin", default=str(ROOT / "target/release/siskin"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| codec | PyTorch, whole file | files | ratio | one frame a packet | ratio |\n|---|---|---|---|---|---|")
    for kind in args.kinds:
        model, rate, stages, name, run = KINDS[kind]()
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if name is None:
                model.save_pretrained(folder / "model")
                checkpoint = folder / "model" / "model.safetensors"
            else:
                checkpoint = folder / name
                torch.save(model.state_dict(), checkpoint)
            environment = {**os.environ, "SISKIN_DEV_ROOT": str(ROOT)}
            subprocess.run([args.siskin, "models", "import", kind, str(checkpoint), "-o", str(folder / "bundle")],
                           check=True, env=environment, stdout=subprocess.DEVNULL)
            reference = measure_reference(run, rate)
            files = measure_siskin(args.siskin, folder, rate, stages, [])
            live = measure_siskin(args.siskin, folder, rate, stages, ["--frames-per-packet", "1"])
        print(f"| {kind} | {reference:.3f} | {files:.3f} | {files / reference:.2f} | {live:.3f} | {live / reference:.2f} |",
              flush=True)


if __name__ == "__main__":
    sys.exit(main())
