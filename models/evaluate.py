"""Score codecs on clips: one command for any codecs on any folder of clips, or on the speakers held out of training.

  python models/evaluate.py --quick                      the held-out speakers, all codecs that can run here
  python models/evaluate.py --clips FOLDER --codec siskin:6000 opus:9000:nolace lyra:6000
  python models/evaluate.py --write                      and put the tables into docs/, the README and the manifest

Writes tables (Markdown, CSV) and plots (PNG) into --out. What is not installed is left out, and the tables say so.
Scores are kept in --cache: a new bundle or program makes only Siskin run again.
"""
import argparse
import json
import os
import re
import sys
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # one core, as the figures of speed say

from siskin_eval import clips, codecs, loss, metrics, report, score, tones  # noqa: E402

ROOT = codecs.ROOT
# At 6 kb/s libopus codes 4 kHz of bandwidth, where its enhancers do nothing.
PEERS = ["opus:6000", *[f"opus:{rate}{how}" for rate in (9000, 12000, 24000) for how in ("", ":lace", ":nolace")]]
PEERS += ["lyra:3200", "lyra:6000", "lyra:9200", "codec2:3200"]
QUICK = [p for p in PEERS if p not in ("opus:9000:lace", "opus:12000", "opus:12000:lace", "opus:24000:lace", "opus:24000:nolace")]
LOSSY = ["siskin:6000:packets", "siskin:6000:packets:red=2", "lyra:6000", "opus:9000:plc", "opus:12000:plc:dred=50",
         "opus:24000:plc", "opus:24000:plc:dred=50"]
# What --quick sends more than clean speech through: near 3, 6 and 9 kb/s.
WIDELY = re.compile(r"^original$| 6k VBR$|^Lyra V2 (3.2|6)k$|^Opus 9k( NoLACE)?$")
# Whose tones are listened to: what has 6 kb/s, and Opus where it is wideband.
TONES = re.compile(r"\b(6|9)k( NoLACE)?$")
LOSSES = ["5%", "10%", "20%", "5%:burst", "10%:burst", "20%:burst"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_argument_group("clips")
    where.add_argument("--clips", type=Path, metavar="FOLDER", help="any recordings, instead of the held-out speakers")
    where.add_argument("--corpus", type=Path, default=ROOT / ".siskin/corpus", help="cache of models/data/fetch.py")
    where.add_argument("--per-speaker", type=int, default=2, metavar="N", help="clips of each held-out speaker")
    where.add_argument("--no-noisy", action="store_true",
                       help="leave out the clips with noise, music or a second talker, and the quiet ones")
    what = parser.add_argument_group("codecs and metrics")
    what.add_argument("--codec", nargs="*", metavar="SPEC", help="NAME:RATE:OPTION..., NAME of "
                      f"{', '.join(codecs.CODECS)}; options of opus: plc, lace, nolace, dred=N; of siskin: packets, vbr, red=N")
    what.add_argument("--loss-codec", nargs="*", metavar="SPEC", help="codecs that are measured with losses")
    what.add_argument("--loss", nargs="*", default=LOSSES, metavar="SHARE", help="such as 10%%, 10%%:burst or 10%%:burst:SEED")
    what.add_argument("--metrics", nargs="*", default=list(metrics.TABLE), metavar="NAME", help=", ".join(metrics.TABLE))
    what.add_argument("--no-tones", action="store_true", help="do not send steady tones through the codecs near 6 kb/s")
    what.add_argument("--no-speed", action="store_true", help="do not measure the real-time factor")
    what.add_argument("--quick", action="store_true", help="one clip a speaker, half of the noisy ones, "
                      "fewer settings of Opus, losses of 10%% alone and with every other speaker, and other clips "
                      "than clean ones for a few codecs near 3, 6 and 9 kb/s only, none of them loud")
    places = parser.add_argument_group("places")
    places.add_argument("--siskin", type=Path, default=codecs.Places.siskin, help="our program")
    places.add_argument("--bundle", type=Path, default=codecs.Places.bundle, help="our bundle")
    places.add_argument("--opus-peer", type=Path, default=codecs.Places.opus_peer, help="the program of models/peers/opus")
    places.add_argument("--lyra", type=Path, help="folder with Lyra's weights and script (also SISKIN_LYRA_DIR)")
    places.add_argument("--cache", type=Path, default=ROOT / ".siskin/eval/cache", help="scores that need not be computed again")
    places.add_argument("--out", type=Path, default=ROOT / ".siskin/eval/last", help="tables and plots")
    places.add_argument("--write", action="store_true", help="also into docs/evaluation.md, README.md and the manifest")
    return parser.parse_args()


def chosen_clips(args):
    """(clean and noisy clips, those that are measured with losses)."""
    if args.clips:
        clean, music = clips.from_folder(args.clips, notices=args.notices), []
    else:
        held_out = clips.HeldOut(args.corpus)
        clean, music = held_out.clips(1 if args.quick else args.per_speaker), held_out.music()
    first = list({c.speaker: c for c in reversed(clean)}.values())[::-1]  # one of each speaker
    noisy = [] if args.no_noisy else clips.with_noise(first, music)
    special = [] if args.no_noisy else (clips.overlapping(first)[1::2] + clips.at_peak(first[::2], -40.0, "quiet")
                                        + clips.at_peak(first[::2], -0.1, "loud"))
    if args.quick:
        special = [c for c in special if c.condition != "loud"][::2]
        noisy = [c for i, c in enumerate(noisy) if i % 4 in (0, 3)]  # half of them, noise and music alike
        return clean + noisy + special, first[::2]
    return clean + noisy + special, first


def main():
    args = arguments()
    if args.write and args.clips:
        raise SystemExit("--write is for the held-out speakers: the documents' figures come from them")
    notices = args.notices = []
    os.environ.setdefault("ORT_DYLIB_PATH", str(ROOT / ".siskin/ort/libonnxruntime.so"))
    places = codecs.Places(args.siskin.resolve(), args.bundle.resolve(), args.opus_peer.resolve(), args.lyra)
    everything, lossy_clips = chosen_clips(args)
    measures = metrics.load(args.metrics, notices)
    losses = [loss.parse(text) for text in (["10%", "10%:burst"] if args.quick and args.loss == LOSSES else args.loss)]

    specs = args.codec if args.codec is not None else ["original", *own_rates(args.bundle), *(QUICK if args.quick else PEERS)]
    subjects = [c for c in (codecs.make(s, places, notices) for s in specs) if c]
    specs = args.loss_codec if args.loss_codec is not None else [] if args.codec is not None or not losses else LOSSY
    lossy = [c for c in (codecs.make(s, places, notices) for s in specs) if c]
    for codec in [c for c in lossy if not c.takes_loss]:
        notices.append(f"codec {codec.label} left out of the losses: it has no way to lose a packet")
    for notice in notices:
        print(f"notice: {notice}", file=sys.stderr)
    if not subjects and not lossy:
        raise SystemExit("no codec is left to measure")

    single, with_losses, speeds = [], [], []
    for codec in subjects:
        chosen = everything if not args.quick or WIDELY.search(codec.label) else [c for c in everything if c.condition == "clean"]
        single += score.rows(codec, chosen, [None], measures, args.cache, score.progress)
    for codec in [c for c in lossy if c.takes_loss]:
        with_losses += score.rows(codec, lossy_clips, [None, *losses], measures, args.cache, score.progress)
    if not args.no_speed:
        speeds = [score.speed(c, lossy_clips) for c in subjects if c.family != "original"]
    near = [c for c in subjects if TONES.search(c.label)]
    sounding = [] if args.no_tones else tones.rows(near)
    names = [m.name for m in measures]
    groups = {name: [c for c in everything if c.condition == name] for name in report.CONDITIONS}
    told = {name: clips.describe(group) for name, group in groups.items() if group}
    if with_losses:
        told["with losses"] = clips.describe(lossy_clips)
    command = " ".join(["python models/evaluate.py", *said(sys.argv[1:])])
    result = report.Report(measures, score.means(single, names), score.means(with_losses, names), speeds,
                           single + with_losses, told, notices, command, score.voices(single, names), sounding)
    result.files(args.out)
    (args.out / "tables.md").write_text(result.markdown())
    print(result.markdown())
    if args.write:
        result.documents(ROOT / "docs/evaluation.md", ROOT / "README.md", ROOT / "docs/evaluation")
        result.manifest(args.bundle)


def said(words):
    """The command line without what only says where things lie."""
    out, skip = [], False
    for word in words:
        name = word.split("=")[0]
        if name.startswith("--"):
            skip = name in ("--write", "--cache", "--out", "--lyra", "--siskin", "--opus-peer", "--corpus", "--bundle")
        if not skip:
            out.append(word)
    return out


def own_rates(bundle):
    """Every rate that the bundle's manifest names, with as many stages in all frames as it pays for, with that rate on average
    as files have it (and as Lyra has it), and with the first stages of a stream that holds all."""
    path = bundle / "manifest.json"
    rates = [p["bitrate"] for p in json.loads(path.read_text())["prefixes"]] if path.exists() else [6000]
    stages = json.loads(path.read_text())["quantizer"]["stages"] if path.exists() else 0
    cut = [f"siskin:{rate}:of={stages}" for rate in rates if rate < max(rates)]
    return [f"siskin:{rate}" for rate in rates] + [f"siskin:{rate}:vbr" for rate in (1000, 3200, 6000, 9000)] + cut


if __name__ == "__main__":
    main()
