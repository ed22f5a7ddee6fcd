"""Packs the corpus cache in pieces of at most 60 MiB, so that it can travel, and unpacks it again to the same samples.

  python models/data/pack.py pack   --cache .siskin/corpus --out PIECES
  python models/data/pack.py unpack --pieces PIECES --cache .siskin/corpus

Pieces are FLAC, without loss; `index.json` beside them holds the recordings and the hashes of each piece and of the whole.
"""
import argparse
import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 24000
LIMIT = 60 * 2**20
FORMAT = "siskin-corpus-1"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def flac(pcm):
    out = io.BytesIO()
    sf.write(out, pcm, RATE, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def pack(cache, out, limit=LIMIT):
    """Writes the pieces and their index; gives the index. A piece that comes out too large is made again from less."""
    samples = np.memmap(cache / "corpus.i16", "<i2", "r")
    out.mkdir(parents=True, exist_ok=True)
    whole, pieces, offset, guess = hashlib.sha256(), [], 0, limit
    while offset < len(samples):
        pcm = np.asarray(samples[offset: offset + guess])
        data = flac(pcm)
        if len(data) > limit:
            if len(pcm) < 2:
                raise SystemExit(f"a piece of {limit} bytes holds no sample")
            guess = max(1, int(len(pcm) * limit / len(data) * 0.97))
            continue
        name = f"corpus-{len(pieces):03}.flac"
        (out / name).write_bytes(data)
        whole.update(pcm.tobytes())
        pieces.append({"file": name, "bytes": len(data), "sha256": sha256(data), "offset": offset, "samples": len(pcm)})
        offset += len(pcm)
        guess = max(1, int(len(pcm) * limit / len(data) * 0.99))  # the next piece is likely to shrink as this one did
    index = {"format": FORMAT, "rate": RATE, "samples": len(samples), "sha256": whole.hexdigest(), "pieces": pieces,
             "rows": json.loads((cache / "index.json").read_text())}
    (out / "index.json").write_text(json.dumps(index))
    return index


def unpack(pieces, cache):
    """Writes `corpus.i16` and `index.json`. Nothing is left in the cache unless every hash is right."""
    index = json.loads((pieces / "index.json").read_text())
    if index.get("format") != FORMAT:
        raise SystemExit(f"{pieces / 'index.json'} is no index of the format {FORMAT}")
    cache.mkdir(parents=True, exist_ok=True)
    fresh, whole, offset = cache / "corpus.i16.new", hashlib.sha256(), 0
    try:
        with open(fresh, "wb") as out:
            for piece in index["pieces"]:
                path = pieces / Path(piece["file"]).name
                if not path.exists():
                    raise SystemExit(f"piece {path} is missing")
                data = path.read_bytes()
                if sha256(data) != piece["sha256"]:
                    raise SystemExit(f"piece {path} is damaged: sha256 {sha256(data)}, the index says {piece['sha256']}")
                pcm = sf.read(io.BytesIO(data), dtype="int16")[0].astype("<i2")
                if piece["offset"] != offset or piece["samples"] != len(pcm):
                    raise SystemExit(f"piece {path} holds {len(pcm)} samples at {offset}, the index says "
                                     f"{piece['samples']} at {piece['offset']}")
                whole.update(pcm.tobytes())
                pcm.tofile(out)
                offset += len(pcm)
        if whole.hexdigest() != index["sha256"]:
            raise SystemExit(f"the samples have sha256 {whole.hexdigest()}, the index says {index['sha256']}")
        os.replace(fresh, cache / "corpus.i16")
    finally:
        fresh.unlink(missing_ok=True)
    (cache / "index.json").write_text(json.dumps(index["rows"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("pack")
    one.add_argument("--cache", type=Path, default=Path(".siskin/corpus"))
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--mib", type=float, default=60, help="the largest piece")
    two = verbs.add_parser("unpack")
    two.add_argument("--pieces", type=Path, required=True)
    two.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    if args.verb == "unpack":
        unpack(args.pieces, args.cache)
        return
    index = pack(args.cache, args.out, int(args.mib * 2**20))
    size = sum(p["bytes"] for p in index["pieces"])
    print(f"{len(index['pieces'])} pieces, {size / 2**20:.0f} MiB, {size / 2 / index['samples']:.2f} of the samples")


if __name__ == "__main__":
    main()
