"""Rate-distortion and loss curves as PNG files of some tens of kilobytes."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

MARKS = "osD^v<>ph*X"


def families(rows):
    out = {}
    for row in rows:
        out.setdefault(row["family"], []).append(row)
    return out


def curves(axes, rows, x, y):
    for i, (family, members) in enumerate(families(rows).items()):
        points = sorted((r[x], r[y]) for r in members if r.get(x) is not None and r.get(y) is not None)
        if points:
            ours = family.startswith("Siskin")
            axes.plot(*zip(*points), marker=MARKS[i % len(MARKS)], markersize=4, label=family,
                      linewidth=2.2 if ours else 1, zorder=3 if ours else 2)
    axes.grid(alpha=0.3)
    axes.set_ylabel(y)


def rate_distortion(rows, measures, path):
    """Each metric against the rate of the packets. `rows`: means without loss; what is `original` becomes a line."""
    ceiling = next((r for r in rows if r["family"] == "original"), {})
    rows = [r for r in rows if r["family"] != "original"]
    measures = [m for m in measures if any(r.get(m.name) is not None for r in rows)]
    columns = min(3, len(measures))
    lines = -(-len(measures) // columns)
    figure, grid = plt.subplots(lines, columns, figsize=(4.2 * columns, 3.2 * lines), squeeze=False)
    for axes, measure in zip(grid.flat, measures):
        curves(axes, rows, "kbps", measure.name)
        if measure.name in ("dnsmos", "wer") and ceiling.get(measure.name) is not None:
            axes.axhline(ceiling[measure.name], color="gray", linestyle=":", linewidth=1)
        axes.set(xlabel="kb/s of packets", ylabel=measure.title, xscale="log")
        if measure.name == "sisdr":
            axes.set_ylim(bottom=max(-12, axes.get_ylim()[0]))  # parametric coders keep no waveform and lie far below
        ticks = [t for t in (1.5, 3, 6, 9, 12, 24) if t <= 1.1 * max(r["kbps"] for r in rows)]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
    finish(figure, grid, len(measures), path)


def against_loss(rows, measures, path):
    """Each metric against the share of lost packets: a column for each loss model."""
    measures = [m for m in measures if any(r.get(m.name) is not None for r in rows if r["loss"])]
    models = sorted({r["loss"].model for r in rows if r["loss"]}, reverse=True)
    figure, grid = plt.subplots(len(measures), len(models), figsize=(4.2 * len(models), 3 * len(measures)), squeeze=False)
    for line, measure in zip(grid, measures):
        for axes, model in zip(line, models):
            points = [{**r, "family": f"{r['codec']} ({r['kbps']:.1f} kb/s)", "percent": 100 * r["loss"].share}
                      for r in rows if r["loss"] and r["loss"].model == model]
            points += [{**r, "family": f"{r['codec']} ({r['kbps']:.1f} kb/s)", "percent": 0.0} for r in rows if not r["loss"]]
            curves(axes, points, "percent", measure.name)
            axes.set(xlabel=f"% of packets lost, {model}", ylabel=measure.title)
    finish(figure, grid, grid.size, path)


def finish(figure, grid, used, path):
    for axes in list(grid.flat)[used:]:
        axes.axis("off")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    rows = -(-len(labels) // 4)
    figure.tight_layout(rect=(0, 0.02 + 0.2 * rows / figure.get_figheight(), 1, 1))
    figure.legend(handles, labels, loc="lower center", ncols=min(4, max(1, len(labels))), fontsize=8, frameon=False)
    figure.savefig(path, dpi=75)
    plt.close(figure)
