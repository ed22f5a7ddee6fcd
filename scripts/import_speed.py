#!/usr/bin/env python3
"""CPU time of published codecs in Siskin beside their PyTorch references, one thread each, in one run.

    pip install -r models/requirements-imports.txt
    scripts/import_speed.py [KIND...] [--siskin target/release/siskin] [--runs 3]

Weights are seeded and random, of the released sizes; time does not depend on their values. Start-up is taken off by the
difference of a long and a short file. Prints CPU seconds per second of sound, the medians of runs of all in turn: the
reference on the whole file, Siskin on files (packets of a second) and live (packets of one frame), and the ratios.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import wave
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "models/tests"))
SHORT, LONG = 5, 25


def encodec():
    from encodec import EncodecModel

    model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    model.set_target_bandwidth(6.0)
    for layer in model.quantizer.vq.layers:
        layer._codebook.inited.fill_(1)
    return model, 24000, 8, "model.th", lambda x: model.decode(model.encode(x))


def encodec_48k():
    from encodec import EncodecModel

    model = EncodecModel.encodec_model_48khz(pretrained=False).eval()
    model.set_target_bandwidth(6.0)
    for layer in model.quantizer.vq.layers:
        layer._codebook.inited.fill_(1)

    def run(x):
        # Not the lengths whose last segment is shorter than the end of the one before, which the package cannot decode.
        return model.decode(model.encode(x.expand(-1, 2, -1)))

    return model, 48000, 4, "model.th", run


def encodec_32k():
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(
        upsampling_ratios=[8, 5, 4, 4],
        target_bandwidths=[2.2],
        sampling_rate=32_000,
        num_filters=64,
        codebook_size=2048,
        use_causal_conv=False,
        use_conv_shortcut=False,
        normalize=False,
    )
    model = EncodecModel(config).eval()

    def run(x):
        frames = model.encode(x, bandwidth=2.2)
        return model.decode(frames.audio_codes, frames.audio_scales)

    return model, 32000, 4, None, run


def mimi():
    from transformers import MimiConfig, MimiModel

    model = MimiModel(MimiConfig()).eval()
    return model, 24000, 8, None, lambda x: model.decode(model.encode(x, num_quantizers=8).audio_codes)


def dac(size="44k"):
    from published.dac import SIZES
    from transformers import DacConfig, DacModel

    strides, stages, rate = SIZES[size]
    config = DacConfig(
        downsampling_ratios=strides,
        upsampling_ratios=strides[::-1],
        n_codebooks=stages,
        sampling_rate=rate,
        encoder_hidden_size=64,
        decoder_hidden_size=1536,
    )
    model = DacModel(config).eval()
    return model, rate, stages, None, lambda x: model.decode(audio_codes=model.encode(x).audio_codes)


def snac(size="24k"):
    import snac as package
    from published.snac import SHARED, SIZES

    config = {**SIZES[size], **SHARED}
    model = package.SNAC(**config).eval()
    strides = config["vq_strides"]
    window = config["attn_window_size"] or strides[0]

    def write(folder, _):
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "config.json").write_text(json.dumps(config))
        return folder / "pytorch_model.bin", []

    return None, config["sampling_rate"], sum(window // s for s in strides), write, lambda x: model.decode(model.encode(x))


def hilcodec():
    from published import hilcodec as written
    from published import nearest

    model = written.Model(8).eval()

    def run(x):
        residual = model.encoder(x)[0].T
        decoded = 0
        for layer in model.quantizer.layers:
            entries = layer.embed[nearest(residual, layer.embed)]
            residual, decoded = residual - entries, decoded + entries
        return model.decoder(decoded.T[None])

    def write(folder, _):
        extra = {f"quantizer.layers.{i}._extra_state": {"initted": True} for i in range(8)}
        torch.save({"model": model.state_dict() | extra}, folder / "00150.pth")
        return folder / "00150.pth", []

    return None, 24000, 8, write, run


def hificodec():
    from published import hificodec as written
    from published import nearest

    strides, taps, rate = written.SIZES["16k-320d"]
    encoder, generator = written.Encoder(strides, taps).eval(), written.Generator(strides, taps).eval()
    quantizer = written.Quantizer()
    # As the authors normalize, over the whole file.
    written.SlidingNorm.over_frames = lambda self, x, _: torch.nn.GroupNorm.forward(self, x)

    def run(x):
        latents, decoded = encoder(x, x.shape[-1] // 320)[0].T, []
        for g in range(2):
            residual, total = latents[:, 256 * g : 256 * (g + 1)], 0
            for books in (quantizer.quantizer_modules, quantizer.quantizer_modules2):
                book = books[g].embedding.weight
                entries = book[nearest(residual, book)]
                residual, total = residual - entries, total + entries
            decoded.append(total)
        return generator(torch.cat(decoded, 1).T[None])

    def write(folder, _):
        parts = (("generator", generator), ("encoder", encoder), ("quantizer", quantizer))
        torch.save({part: module.state_dict() for part, module in parts}, folder / "g_00400000")
        (folder / "config.json").write_text(json.dumps({"sampling_rate": rate, "upsample_rates": strides}))
        return folder / "g_00400000", []

    return None, rate, 2, write, run


def vocos():
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    encoder, rate, stages, _, _ = encodec()
    backbone = VocosBackbone(128, 384, 1152, 8, adanorm_num_embeddings=4).eval()
    head = ISTFTHead(384, 1280, 320, padding="same").eval()
    books = torch.cat([layer._codebook.embed for layer in encoder.quantizer.vq.layers[:16]])

    def run(x):
        codes = encoder.encode(x)[0][0][0]
        features = sum(books[1024 * k + code] for k, code in enumerate(codes)).T[None]
        return head(backbone(features, bandwidth_id=torch.tensor([2])))

    def write(folder, siskin):
        torch.save(encoder.state_dict(), folder / "model.th")
        import_bundle(siskin, "encodec", folder / "model.th", folder / "encoder")
        state = {"feature_extractor.codebook_weights": books}
        state |= {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
        state |= {f"head.{name}": value for name, value in head.state_dict().items()}
        torch.save(state, folder / "pytorch_model.bin")
        return folder / "pytorch_model.bin", ["--with", str(folder / "encoder"), "--bitrate", "6k"]

    return None, rate, stages, write, run


KINDS = {
    "encodec": encodec,
    "encodec-48k": encodec_48k,
    "encodec-32k": encodec_32k,
    "mimi": mimi,
    "dac-16k": partial(dac, "16k"),
    "dac-24k": partial(dac, "24k"),
    "dac-44k": dac,
    "snac-24k": snac,
    "snac-32k": partial(snac, "32k"),
    "hilcodec": hilcodec,
    "hificodec": hificodec,
    "vocos": vocos,
}
# Whose packets are segments of a second.
OF_SEGMENTS = {"encodec-48k"}


def import_bundle(program, kind, checkpoint, bundle, arguments=()):
    command = [program, "models", "import", kind, str(checkpoint), "-o", str(bundle), *arguments]
    subprocess.run(command, check=True, env={**os.environ, "SISKIN_DEV_ROOT": str(ROOT)}, stdout=subprocess.DEVNULL)


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
        spent.append(
            cpu_of([*encode, str(source), str(coded)], environment)
            + cpu_of([program, "decode", "-y", "--quiet", str(coded), str(folder / "back.wav")], environment)
        )
    return (spent[1] - spent[0]) / (LONG - SHORT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--siskin", default=str(ROOT / "target/release/siskin"))
    parser.add_argument("--old", help="another build of the program, which imports for itself")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| codec | PyTorch, whole file | files | ratio | one frame a packet | ratio |\n|---|---|---|---|---|---|")
    for kind in args.kinds:
        model, rate, stages, name, run = KINDS[kind]()
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            arguments = []
            if callable(name):
                with torch.no_grad():
                    checkpoint, arguments = name(folder, args.siskin)
            elif name is None:
                model.save_pretrained(folder / "model")
                checkpoint = folder / "model" / "model.safetensors"
            else:
                checkpoint = folder / name
                torch.save(model.state_dict(), checkpoint)
            builds = [(args.siskin, folder)] + ([(args.old, folder / "old")] if args.old else [])
            for program, place in builds:
                place.mkdir(exist_ok=True)
                import_bundle(program, kind.split("-")[0], checkpoint, place / "bundle", arguments)
            # In turn, so that what else the machine does meets all of them.
            runs = []
            for _ in range(args.runs):
                spent = [measure_reference(run, rate)]
                for packets in [[]] if kind in OF_SEGMENTS else [[], ["--frames-per-packet", "1"]]:
                    spent += [measure_siskin(program, place, rate, stages, packets) for program, place in builds]
                runs.append(spent)
        runs = np.array(runs)
        times, ratios = np.median(runs, 0), np.median(runs / runs[:, :1], 0)
        cells = [f"{times[0]:.3f}"]
        for spent, ratio in zip(times[1 :: len(builds)], ratios[1 :: len(builds)]):
            cells += [f"{spent:.3f}", f"{ratio:.2f}"]
        if args.old:
            cells += [f"{ratio:.2f} of --old" for ratio in np.median(runs[:, 1::2] / runs[:, 2::2], 0)]
        print(f"| {kind} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
