"""Turns the rows of a run into files: tables, curves, the sections of the documents, the figures of the manifest."""
import json
import re

from . import plots, tables

SIZE = [("codec", "codec", 0), ("kbps", "kb/s", 2), ("disk_kbps", "kb/s on disk", 2)]


NOT_MEASURED = "Not measured.\n"
CONDITIONS = ("clean", "noisy", "overlap", "quiet", "loud")
# What the README shows: judges that training never saw first.
HEADLINE = ("visqol", "speaker", "stoi", "wer", "dnsmos", "mel", "level", "bright", "brilliant", "hoarse", "pesq")


# Whose bands are told: what has about 3, 6 or 9 kb/s.
NEAR = re.compile(r"^(Siskin|Lyra V2) [0-9.]+k( VBR)?$|^Opus 9k( NoLACE)?$")


def columns(measures, extra=()):
    """A star marks what a loss of training has to do with."""
    return [*SIZE, *extra, *[(m.name, m.title + " *" * bool(m.trained), m.digits) for m in measures if not m.band]]


def trained_on(measures):
    """One sentence about the starred columns."""
    marked = [f"{m.title} ({m.trained})" for m in measures if m.trained and not m.band]
    return f"\\* close to a loss that decoders are trained with here: {', '.join(marked)}.\n" if marked else ""


def text_rows(means):
    """The loss in words, the recording itself without a rate."""
    out = []
    for row in means:
        row = {**row, "loss": str(row["loss"]) if row["loss"] else "none"}
        if row["family"] == "original":
            row |= {"kbps": None, "disk_kbps": None}
        out.append(row)
    return out


def by_band(rows, measures, kind):
    """A table with a row for each band of a kind of measure and a column for each codec; nothing without them."""
    chosen = [m for m in measures if m.band == kind]
    rows = [r for r in rows if r["condition"] == "clean" and r["family"] != "original"]
    if not chosen or not rows:
        return NOT_MEASURED
    lines = [{"band": m.title} | {r["codec"]: r[m.name] for r in rows} for m in chosen]
    return tables.markdown(lines, [("band", "Hz", 0), *[(r["codec"], r["codec"], chosen[0].digits) for r in rows]])


class Report:
    """What one run found. `main`, `loss` and `voices` are means, `single` the rows of each clip, `tones` those of `tones.rows`."""

    def __init__(self, measures, main, loss, speeds, single, clips, notices, command, voices=(), tones=()):
        self.measures, self.main, self.loss, self.speeds, self.voices, self.tones = measures, main, loss, speeds, voices, tones
        self.single, self.clips, self.notices, self.command = single, clips, notices, command

    def sections(self):
        """{name: Markdown}."""
        rows = text_rows(self.main)
        out = {"clips": f"`{self.command}`\n\n" + "\n".join(f"- {name}: {what}." for name, what in self.clips.items())}
        for condition in CONDITIONS:
            chosen = [r for r in rows if r["condition"] == condition]
            out[condition] = tables.markdown(chosen, columns(self.measures)) if chosen else NOT_MEASURED
        if out["clean"] != NOT_MEASURED:
            out["clean"] += "\n" + trained_on(self.measures)
        near = [r for r in rows if NEAR.search(r["codec"])]
        out["octaves"] = by_band(near, self.measures, "octave")
        out["harmonics"] = by_band(near, self.measures, "harmonic")
        short = [m for m in self.measures if m.name in HEADLINE]
        out["voices"] = (tables.markdown(text_rows(self.voices), columns(short, [("voices", "voices", 0), ("clips", "clips", 0)]))
                         if self.voices else NOT_MEASURED)
        names = [(k, k, 0) for k in (self.tones[0] if self.tones else ()) if k != "hz"]
        out["tones"] = tables.markdown(self.tones, [("hz", "Hz", 0), *names]) if names else NOT_MEASURED
        out["loss"] = NOT_MEASURED
        if self.loss:
            table = tables.markdown(text_rows(self.loss), columns(self.measures, [("loss", "packets lost", 0)]))
            out["loss"] = "![Quality against loss](evaluation/loss.png)\n\n" + table
        speeds = [("codec", "codec", 0), ("encode_rtf", "encode", 4), ("decode_rtf", "decode", 4)]
        out["speed"] = tables.markdown(self.speeds, speeds) if self.speeds else NOT_MEASURED
        out["notices"] = "\n".join(f"- {n}" for n in self.notices) or "Nothing was left out."
        return out

    def files(self, folder):
        """Writes numbers and plots into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "means.csv").write_text(tables.to_csv(text_rows([*self.main, *self.loss])))
        (folder / "clips.csv").write_text(tables.to_csv(text_rows(self.single)))
        if self.speeds:
            (folder / "speed.csv").write_text(tables.to_csv(self.speeds))
        for condition in {r["condition"] for r in self.main}:
            chosen = [r for r in self.main if r["condition"] == condition]
            if any(r["family"] != "original" for r in chosen):
                plots.rate_distortion(chosen, [m for m in self.measures if not m.band], folder / f"rate-distortion-{condition}.png")
        if any(r["loss"] for r in self.loss):
            plots.against_loss(self.loss, [m for m in self.measures if m.name in ("pesq", "stoi", "plcmos")], folder / "loss.png")

    def markdown(self):
        """All sections one after another."""
        return "\n".join(f"## {name}\n{text}\n" for name, text in self.sections().items())

    def manifest(self, bundle):
        """The figures of our own rates on the clean clips, into the manifest; what stands there stays where none was measured."""
        path = bundle / "manifest.json"
        info = json.loads(path.read_text())
        names = {"visqol": "visqol", "speaker": "speaker_similarity", "pesq": "pesq_wb",
                 "stoi": "stoi", "sisdr": "si_sdr", "estoi": "estoi", "dnsmos": "dnsmos"}
        found = []
        for prefix in info["prefixes"]:
            label = f"Siskin {prefix['bitrate'] / 1000:g}k"
            for row in self.main:
                if row["codec"] == label and row["condition"] == "clean" and not row["loss"]:
                    found.append({"stages": prefix["stages"], "bitrate": prefix["bitrate"], "clips": row["clips"],
                                  **{k: round(row[n], 3) for n, k in names.items() if row.get(n) is not None}})
        if not found:
            return
        info["figures"] = found
        path.write_text(json.dumps(info, indent=2) + "\n")

    def documents(self, evaluation, readme, pictures):
        """The sections of docs/evaluation.md, the short table of the README, and the pictures that both show. What this run did
        not measure keeps its figures."""
        text = evaluation.read_text()
        for name, body in self.sections().items():
            if body.strip() != NOT_MEASURED.strip():
                text = tables.replace_section(text, name, body)
        evaluation.write_text(text)
        short = [m for m in self.measures if m.name in HEADLINE]
        chosen = [r for r in text_rows(self.main) if r["condition"] == "clean"]
        body = f"On {self.clips['clean']}, `{self.command}`:\n\n" + tables.markdown(chosen, columns(short))
        body += "\n" + trained_on(short)
        readme.write_text(tables.replace_section(readme.read_text(), "figures", body))
        self.files(pictures)
