#!/usr/bin/env python3
"""Makes a page on which a person hears and sees what Siskin does: sound at each rate beside the original with spectrograms,
video beside x264 at equal bytes, and a recorder.

    scripts/landing.py SISKIN FOLDER [--film CLIP] [--film-bitrate BITS]

FOLDER then has index.html and all that it needs; any web server gives it out (`python3 -m http.server -d FOLDER`).
`./x landing` calls this. Sound is that of testdata/clips. The film is CLIP, or where none is named a scene made of
testdata/features/text.png; it is made smaller to lie within 320x180, and its first eight seconds are taken. x264 runs for low
delay too (veryfast, zerolatency), with the quality at which its file is as large as ours to 2 %.
"""

import argparse
import html
import json
import pathlib
import shutil
import string
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIPS = {"speech-fr-female": "French, female", "speech-it-male": "Italian, male", "speech-be": "Belarusian",
         "speech-el-noisy": "Greek, in noise", "music": "Music, which the model was not made for"}
RATES = [1000, 3000, 6000, 9000]
BUNDLE = ["manifest.json", "decoder.onnx", "encoder.onnx", "codebooks.safetensors", "entropy.safetensors"]
FILM_SECONDS = 8


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{args[0]}: {done.stderr.strip()}")
    return done.stdout


def ffmpeg(*args):
    return run("ffmpeg", "-v", "error", "-y", *args)


def spectrogram(sound, picture):
    """0 to 8 kHz over the length, 80 dB."""
    ffmpeg("-i", sound, "-lavfi", "aresample=16000,showspectrumpic=s=360x160:legend=0:color=magma:drange=80:fscale=lin", picture)


def sounds(siskin, folder):
    """Rows of the table of sounds."""
    rows = []
    for name, label in CLIPS.items():
        source = ROOT / "testdata/clips" / f"{name}.flac"
        shutil.copy(source, folder / f"{name}.flac")
        spectrogram(source, folder / f"{name}.png")
        seconds = float(run("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", source))
        cells = [f'<td><img src="sounds/{name}.png" alt="Spectrogram of the original" width="360" height="160" loading="lazy">'
                 f'<audio controls preload="none" src="sounds/{name}.flac" title="{html.escape(label)}, original"></audio>'
                 f'<small>{source.stat().st_size / 1000:.0f} kB as FLAC</small></td>']
        for rate in RATES:
            coded, wav = folder / f"{name}-{rate}.mka", folder / "decoded.wav"
            run(siskin, "encode", "-q", "-y", source, coded, "--bitrate", rate)
            run(siskin, "decode", "-q", "-y", coded, wav)
            spectrogram(wav, folder / f"{name}-{rate}.png")
            wav.unlink()
            size = coded.stat().st_size
            cells.append(
                f'<td><img src="sounds/{name}-{rate}.png" alt="Spectrogram at {rate // 1000} kb/s" '
                f'width="360" height="160" loading="lazy"><siskin-audio preload="none" src="sounds/{name}-{rate}.mka" '
                f'title="{html.escape(label)}, {rate // 1000} kb/s"></siskin-audio>'
                f'<small>{size / 1000:.1f} kB, {size * 8 / seconds / 1000:.1f} kb/s with its container</small></td>')
        rows.append(f'<tr><th scope="row">{html.escape(label)}</th>{"".join(cells)}</tr>')
    return "\n".join(rows)


def source_film(clip, film):
    """Raw pictures of a clip, or of a walk over the picture of testdata, within 320x180."""
    fit = "scale=w=320:h=180:force_original_aspect_ratio=decrease:force_divisible_by=2:flags=area,setsar=1"
    if clip:
        ffmpeg("-i", clip, "-t", FILM_SECONDS, "-an", "-vf", fit, "-pix_fmt", "yuv420p", film)
        return
    walk = ("zoompan=z='1.5+0.5*sin(on/40)':x='(iw-iw/zoom)*(0.5+0.5*sin(on/60))'"
            ":y='(ih-ih/zoom)*(0.5+0.5*cos(on/50))':d=1:s=320x180:fps=25")
    picture = ROOT / "testdata/features/text.png"
    ffmpeg("-loop", "1", "-framerate", "25", "-t", FILM_SECONDS, "-i", picture, "-vf", walk, "-pix_fmt", "yuv420p", film)


def x264(film, size, out):
    """Codes the film with x264 to as many bytes to 2 %, by halving the range of qualities; the bytes."""
    low, high = 0.0, 51.0
    for _ in range(12):
        crf = (low + high) / 2
        ffmpeg("-i", film, "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "120", "-crf", f"{crf:.3f}",
               "-pix_fmt", "yuv420p", "-movflags", "+faststart", out)
        found = out.stat().st_size
        if abs(found - size) <= 0.02 * size:
            return found
        low, high = (crf, high) if found > size else (low, crf)
    raise SystemExit(f"x264 gives no file of {size} bytes: another --film-bitrate")


def films(siskin, folder, clip, bitrate):
    """What the page says of the film: sizes, PSNR, and pictures of the same frame."""
    film = folder / "film.y4m"
    source_film(clip, film)
    ours, theirs = folder / "film.mkv", folder / "film.mp4"
    run(siskin, "encode", "-q", "-y", film, ours, "--video-bitrate", bitrate)
    size = ours.stat().st_size
    other = x264(film, size, theirs)
    # The middle of a film that is shorter too.
    seconds = float(run("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", theirs))
    for coded, name in [(film, "original"), (folder / "ours.y4m", "ours"), (theirs, "x264")]:
        if name == "ours":
            run(siskin, "decode", "-q", "-y", ours, coded)
        ffmpeg("-ss", seconds / 2, "-i", coded, "-frames:v", "1", folder / f"{name}.png")
    facts = {"our_bytes": size, "x264_bytes": other, "our_psnr": psnr(folder / "ours.y4m", film), "x264_psnr": psnr(theirs, film)}
    film.unlink()
    (folder / "ours.y4m").unlink()
    return facts


def psnr(coded, film):
    """PSNR over Y, U and V of the whole film, by FFmpeg's filter."""
    log = subprocess.run(["ffmpeg", "-v", "info", "-i", str(coded), "-i", str(film), "-lavfi", "psnr", "-f", "null", "-"],
                         check=True, capture_output=True, text=True).stderr
    return float(log.split("average:")[1].split()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("siskin", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--film", type=pathlib.Path)
    parser.add_argument("--film-bitrate", type=int, default=40_000)
    args = parser.parse_args()
    folder = args.folder
    # What an earlier run wrote, which has left a page, and nothing else of the folder.
    old = [folder / name for name in ["sounds", "films", "player", "bundles"] if (folder / name).exists()]
    if old and not (folder / "index.html").exists():
        raise SystemExit(f"{old[0]} is of no earlier run, which leaves an index.html: remove it, or name another folder")
    for path in old:
        shutil.rmtree(path)
    for name in ["sounds", "films", "player", "bundles/speech-24k"]:
        (folder / name).mkdir(parents=True)
    for file in [*ROOT.glob("web/player/*.js"), ROOT / "web/player/siskin.wasm"]:
        shutil.copy(file, folder / "player")
    for file in BUNDLE:
        shutil.copy(ROOT / "models/bundles/speech-24k" / file, folder / "bundles/speech-24k")
    siskin = args.siskin.resolve()
    rows = sounds(siskin, folder / "sounds")
    facts = films(siskin, folder / "films", args.film, args.film_bitrate)
    template = string.Template((ROOT / "web/landing/index.html").read_text())
    heads = "".join(f'<th scope="col">{rate // 1000} kb/s</th>' for rate in RATES)
    page = template.substitute(
        rows=rows, heads=heads, film=html.escape(args.film.name if args.film else "a walk over a page of text"),
        **{name: f"{value / 1000:.1f} kB" if name.endswith("bytes") else f"{value:.1f} dB" for name, value in facts.items()})
    (folder / "index.html").write_text(page)
    print(f"{folder / 'index.html'}: {json.dumps(facts)}")


if __name__ == "__main__":
    main()
