"""What a run looks like while it runs: a plot and a page that shows it, drawn again and again."""
import csv
import html
import os
import threading

PAGE = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="{seconds}">
<title>{title}</title><style>body{{font:16px sans-serif;margin:2em;max-width:60em}}img{{max-width:100%}}</style>
<h1>{title}</h1><p>{text}</p><img src="progress.png?{step}" alt="losses by step">
"""
LOSSES = ("shape", "distance", "heard", "adversary")


class Progress:
    """Draws `progress.png` and `progress.html` in the folder of a run every few seconds until it is closed."""

    def __init__(self, folder, title, seconds=20):
        self.folder, self.title, self.seconds = folder, title, seconds
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        # Once more, with the last rows.
        self.draw()

    def loop(self):
        while not self.ended.wait(self.seconds):
            self.draw()

    def draw(self):
        rows = read_rows(self.folder / "loss.csv")
        if not rows:
            return
        draw_losses(rows, self.folder / "progress.png")
        last = rows[-1]
        text = f"step {last['step']}, {float(last['seconds']) / 60:.1f} min of training; " + ", ".join(
            f"{name} {last[name]}" for name in LOSSES if last.get(name))
        page = PAGE.format(seconds=self.seconds, title=html.escape(self.title), text=html.escape(text), step=last["step"])
        replace(self.folder / "progress.html", page.encode())


def read_rows(path):
    """The whole rows of a log that is being written."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        text = file.read()
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def draw_losses(rows, path):
    from matplotlib.figure import Figure

    # Without pyplot, whose state is no thread's own.
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots(1, 2)
    steps = [int(r["step"]) for r in rows]
    for name in LOSSES:
        known = [(s, float(r[name])) for s, r in zip(steps, rows) if r.get(name)]
        if known:
            axes[0].plot(*zip(*known), label=name)
    axes[0].set(xlabel="step", ylabel="loss", yscale="log")
    axes[0].legend()
    quantized = [(int(r["step"]), float(r["residual"])) for r in rows if r["phase"] != "1" and float(r["residual"]) > 0]
    if quantized:
        axes[1].plot(*zip(*quantized))
        axes[1].set(yscale="log")
    axes[1].set(xlabel="step", ylabel="variance left by all stages")
    figure.tight_layout()
    part = path.with_suffix(".part.png")
    figure.savefig(part, dpi=80)
    os.replace(part, path)


def replace(path, data):
    part = path.with_suffix(".part")
    part.write_bytes(data)
    os.replace(part, path)
