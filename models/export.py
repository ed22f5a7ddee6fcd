"""Write a model bundle and its golden vectors from a training checkpoint.

  python models/export.py --checkpoint .siskin/runs/main/last.pt
  python models/export.py --decoder .siskin/runs/decoder/last.pt --version 0.3.0   the decoder of train_decoder.py alone
  python models/export.py --decoder .siskin/runs/levels/last.pt --noise -2 --noise-above 2100 --version 0.2.2   of train_levels.py
  python models/export.py --own-decoder --noise 2 --version 0.2.1              its own decoder with more noise
  python models/export.py --graphs --version 0.2.3                             its own weights in graphs as they are written now
"""
import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import soundfile as sf
import torch
from safetensors.numpy import save_file
from scipy.signal import resample_poly

from siskin_models.bundle import bundle_hash, sha256
from siskin_models.codec import load, load_bundle, of_architecture
from siskin_models.export import decoder_graph, encoder_graph, graph_weights, half_weights, takes_blocks
from siskin_models.export_stereo import stereo_decoder_graph, stereo_encoder_graph, stereo_half_weights
from siskin_models.quantizer import decode, encode

# PyTorch 1's restricted reader knows no floats.
NEW = int(torch.__version__.split(".")[0]) >= 2
PREFIXES = {1: (1, 2, 3, 6, 9), 2: (3, 6, 8, 12, 16)}  # stages, by channels
# Ids above the codes that mean something in streams of tokens (docs/tokens.md), in this order.
SPECIAL = ("pad", "start", "end", "separator")
DEFAULT = 6
# Frames that files run at once: a second, as in their packets. From 16 on the products hardly become faster, what is around
# them does (docs/architecture.md).
MAX_FRAMES = 50


def states(graph):
    """The states of a graph, which are its inputs s0, s1, ..."""
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.graph.input}
    names = sorted((name for name in shapes if name not in ("pcm", "latents")), key=lambda name: int(name[1:]))
    return [{"name": name, "output": f"{name}_next", "shape": shapes[name]} for name in names]


def network(graph, part, config):
    """What the manifest says of a graph."""
    samples = (config.hop, 1) if part == "encoder" else (1, config.hop)
    blocks = {"input": samples[0], "output": samples[1], "max_frames": MAX_FRAMES}
    return {"file": f"{part}.onnx", "input": "pcm" if part == "encoder" else "latents",
            "output": "latents" if part == "encoder" else "pcm", "states": states(graph),
            **({"blocks": blocks} if takes_blocks(config, part) else {})}


def reach(depth, config):
    """Code frames that an output depends on, the current one and the overlap included."""
    return 1 + -(-(depth * (config.kernel - 1)) // config.trunk) + 1


def decoder_reach(config):
    """The window of the noise begins in the frame before; so do the samples that the source of overtones listens to."""
    return reach(config.dec_depth, config) + bool(config.noise or config.harmonics)


def manifest(config, codec, graphs, name, version):
    frame_rate = config.sample_rate / config.hop
    stages, groups, size, _ = codec.quantizer.books.shape
    bits = groups * int(np.log2(size))
    # Codecs of fewer stages have the prefixes that they can have.
    prefixes = sorted({n for n in PREFIXES[config.channels] if n < stages} | {stages})
    return {
        "format": 1, "kind": "audio", "name": name, "version": version,
        "licence": "MIT OR Apache-2.0",
        "sample_rate": config.sample_rate, "channels": config.channels, "hop": config.hop, "delay": config.overlap, "lookahead": 0,
        "receptive_field_frames": {"encoder": reach(config.enc_depth, config),
                                   "decoder": decoder_reach(config)},
        "chunk_frames": [1], "latent_dim": config.latent,
        "quantizer": {"type": "rvq" if groups == 1 else "grvq", "groups": groups, "stages": stages, "size": size,
                      "dim": config.latent, "file": "codebooks.safetensors"},
        "prefixes": [{"stages": n, "bitrate": int(n * bits * frame_rate)} for n in prefixes],
        "default_stages": default_stages(stages),
        **{part: network(graph, part, config) for part, graph in graphs.items()},
        "special_ids": {name: size + i for i, name in enumerate(SPECIAL)},
    }


def default_stages(stages):
    """The stages of an encoder that is not told any."""
    return min(DEFAULT, stages)


def golden_seconds(config):
    # Ten frames of two channels: two seconds would be 2.4 MB.
    return 2.0 if config.channels == 1 else 0.2


def golden(codec, clip, seconds):
    """Offline reference: the whole clip at once through the torch model. `decoded` is late by `delay` samples."""
    audio, rate = sf.read(clip, dtype="float64", always_2d=True)
    audio = audio.T
    if len(audio) < codec.config.channels:
        # The right channel softer and with an echo, so that there is a side.
        audio = np.stack([audio[0], 0.6 * audio[0] + 0.3 * np.roll(audio[0], 300)])
    hop = codec.config.hop
    common = np.gcd(codec.config.sample_rate, rate)
    audio = resample_poly(audio, codec.config.sample_rate // common, rate // common, axis=1)
    start = int(0.5 * codec.config.sample_rate)
    pcm = audio[:, start: start + int(seconds * codec.config.sample_rate) // hop * hop].astype(np.float32)
    whole = torch.from_numpy(pcm)[None] if len(pcm) > 1 else torch.from_numpy(pcm)
    # Channels are interleaved, as everywhere outside of the networks.
    flat = lambda x: np.ascontiguousarray(x.reshape(len(pcm), -1).T.reshape(-1))
    with torch.no_grad():
        z = codec.encode(whole)[0]
        books = codec.quantizer.books
        default = default_stages(len(books))
        codes = encode(z, books)
        decoded = {n: flat(codec.decode(decode(codes, books, n)[None])[0].numpy()) for n in (default, len(books))}
    return {"pcm": flat(pcm), "latents": np.ascontiguousarray(z.numpy().T),
            "codes": np.ascontiguousarray(codes.numpy().T.astype(np.uint16)),
            "decoded": decoded[len(books)], "decoded_default": decoded[default]}


def new_decoder(args):
    """Puts a decoder for the same codes into the bundle that they are of: encoder, codebooks and tables keep their bytes."""
    path = args.out / "manifest.json"
    info, saved = json.loads(path.read_text()), args.decoder and torch.load(args.decoder, weights_only=NEW)
    stereo = info["channels"] == 2
    codec = load_bundle(args.out, **({} if stereo else {"harmonics": saved["config"]["harmonics"] if saved else 0})).eval()
    if saved and codec.config != of_architecture(saved["config"])[1]:
        raise SystemExit(f"{args.decoder} is of another architecture than {args.out}: {saved['config']}, "
                         f"the bundle's {asdict(codec.config)}")
    if saved:
        codec.decoder.load_state_dict({k: v.float() for k, v in saved["average"].items()}, strict=False)
    codec.decoder.raise_noise(args.noise, args.noise_above)
    (_, _, half), (_, build, _) = parts_of(codec.config)
    half(codec.encoder)
    graph = build(codec.config, half(codec.decoder), codec.decoder.state_shapes)
    onnx.save(graph, args.out / "decoder.onnx")
    # Streams keep the id of the first bundle with these codes: its files are played by the new decoder, and new files by it.
    of_codes = [info["quantizer"]["file"], *([info["entropy"]["file"]] if "entropy" in info else [])]
    info["codes"] = {"id": info.get("codes", {}).get("id", bundle_hash(info["files"])[:16]),
                     "sha256": bundle_hash({name: info["files"][name] for name in of_codes})}
    info["version"] = args.version
    info["receptive_field_frames"]["decoder"] = decoder_reach(codec.config)
    info["decoder"] = network(graph, "decoder", codec.config)
    info["files"]["decoder.onnx"] = sha256(args.out / "decoder.onnx")
    training = info["training"]
    training["parameters"]["decoder"] = codec.parameters_by_part()["decoder"]
    if saved:
        training["architecture"], training["noise_db"] = asdict(codec.config), args.noise
        training["decoder"] = {"steps": saved["step"], "seconds": round(saved["elapsed"]), "weights_of_losses": saved["losses"]}
    else:
        training["noise_db"] = training.get("noise_db", 0.0) + args.noise
    info["figures"] = []
    path.write_text(json.dumps(info, indent=2) + "\n")
    save_file(golden(codec, args.clip, golden_seconds(codec.config)), args.golden)
    print(json.dumps(training.get("decoder")), (args.out / "decoder.onnx").stat().st_size)


def new_graphs(args):
    """Writes the networks of the bundle anew, with the weights that they have: codes and samples are the same but for rounding."""
    path = args.out / "manifest.json"
    info, codec = json.loads(path.read_text()), load_bundle(args.out).eval()
    for part, build in (("encoder", encoder_graph), ("decoder", decoder_graph)):
        module, file = getattr(codec, part), args.out / info[part]["file"]
        before = graph_weights(onnx.load(file))
        graph = build(codec.config, half_weights(module), module.state_shapes)
        after = graph_weights(graph)
        if before.keys() != after.keys() or any(not np.array_equal(before[name], after[name]) for name in before):
            raise SystemExit(f"{file} has other weights than its training's architecture makes")
        if part == "encoder":
            # Models of its latents, such as text2vec, know them by the first encoder that gave them.
            info.setdefault("latents", info["files"][file.name])
        onnx.save(graph, file)
        info[part], info["files"][file.name] = network(graph, part, codec.config), sha256(file)
    info["version"] = args.version
    path.write_text(json.dumps(info, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--checkpoint", type=Path, help="of train.py: a whole bundle")
    what.add_argument("--own-decoder", action="store_true", help="that of the bundle at --out, with --noise added")
    what.add_argument("--decoder", type=Path, metavar="CHECKPOINT", help="of train_decoder.py: into the bundle at --out")
    what.add_argument("--graphs", action="store_true", help="those of the bundle at --out, with its own weights")
    parser.add_argument("--out", type=Path, default=Path("models/bundles/speech-24k"))
    parser.add_argument("--golden", type=Path, default=Path("testdata/golden/speech-24k.safetensors"))
    parser.add_argument("--clip", type=Path, default=Path("testdata/clips/speech-it-male.flac"))
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--data", default="docs/training.md", help="where the manifest says what it was trained on")
    parser.add_argument("--noise", type=float, default=0.0, metavar="DB", help="added to the level of the decoder's noise")
    parser.add_argument("--noise-above", type=float, default=0.0, metavar="HZ", help="only to that of bands from there on")
    parser.add_argument("--stages", type=int, help="of a checkpoint that has more")
    parser.add_argument("--level", type=float, default=0.0, metavar="DB", help="added to all that a decoder of two channels makes")
    parser.add_argument("--level-above", type=float, default=0.0, metavar="HZ", help="only to bands from there on")
    args = parser.parse_args()
    if args.graphs:
        new_graphs(args)
    elif args.decoder or args.own_decoder:
        new_decoder(args)
    else:
        whole_bundle(args)


def parts_of(config):
    """The networks, what writes their graphs and what rounds their weights."""
    if config.channels == 2:
        half, graphs = stereo_half_weights, (stereo_encoder_graph, stereo_decoder_graph)
    else:
        half, graphs = half_weights, (encoder_graph, decoder_graph)
    return [(part, build, half) for part, build in zip(("encoder", "decoder"), graphs)]


def whole_bundle(args):
    codec, saved = load(args.checkpoint)
    config = codec.config
    if args.noise:
        codec.decoder.raise_noise(args.noise, args.noise_above)
    if args.stages:
        codec.quantizer.keep_stages(args.stages)
    if args.level:
        codec.decoder.raise_all(args.level, args.level_above)
    args.out.mkdir(parents=True, exist_ok=True)
    graphs = {}
    for part, build, half in parts_of(config):
        module = getattr(codec, part)
        graphs[part] = build(config, half(module), module.state_shapes)
        onnx.save(graphs[part], args.out / f"{part}.onnx")
    books = codec.quantizer.books.numpy().astype(np.float16)
    save_file({"codebooks": books}, args.out / "codebooks.safetensors")
    files = ("encoder.onnx", "decoder.onnx", "codebooks.safetensors")
    info = manifest(config, codec, graphs, args.out.name, args.version)
    info["files"] = {f: sha256(args.out / f) for f in files}
    parts = codec.parameters_by_part()
    info["training"] = {"steps": saved["step"], "seconds": round(saved["elapsed"]), "parameters": parts,
                        "architecture": asdict(config),
                        "data": args.data,
                        "losses": ", ".join(["companded complex STFT", "spectral energy distance",
                                             "levels of third octaves" if config.channels == 2 else "audible disturbance",
                                             "commitment"]),
                        "noise_db": args.noise}
    if args.level:
        info["training"] |= {"level_db": args.level, "level_above_hz": args.level_above}
    info["figures"] = []
    (args.out / "manifest.json").write_text(json.dumps(info, indent=2) + "\n")
    args.golden.parent.mkdir(parents=True, exist_ok=True)
    save_file(golden(codec, args.clip, golden_seconds(config)), args.golden)
    print(json.dumps(parts), {f: (args.out / f).stat().st_size for f in files})


if __name__ == "__main__":
    main()
