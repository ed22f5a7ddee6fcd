"""Debian packages of pictures, texts and fonts: download, unpack, list. Nothing is installed."""
import subprocess
import tempfile
from pathlib import Path

# Package: licence as its copyright file states it.
PHOTOS = {
    "mate-backgrounds": "GPL-2+ AND CC-BY-SA-4.0",
    "gnome-backgrounds": "CC-BY-SA-3.0 AND CC0-1.0",
    "opencv-doc": "Apache-2.0 AND BSD-3-Clause",
}
SCREENS = {
    "gimp-help-en": "GFDL-1.2+",
    "debian-handbook": "GPL-2+ OR CC-BY-SA-3.0+",
    "kicad-doc-en": "GPL-3+ OR CC-BY-3.0+",
}
FONTS = {
    "fonts-cantarell": "OFL-1.1", "fonts-comfortaa": "OFL-1.1", "fonts-dejavu-core": "Bitstream-Vera",
    "fonts-freefont-ttf": "GPL-3+ with font exception", "fonts-hack": "Expat AND Bitstream-Vera",
    "fonts-junction": "OFL-1.1", "fonts-lato": "OFL-1.1", "fonts-liberation": "OFL-1.1",
    "fonts-linuxlibertine": "OFL-1.1", "fonts-lobster": "OFL-1.1", "fonts-open-sans": "Apache-2.0",
    "fonts-roboto-unhinted": "Apache-2.0", "fonts-wqy-zenhei": "GPL-2+ with font exception",
}
# Never seen in training: whole packages, and of opencv-doc the pictures of TEST_FILES.
TEST = {
    "opencv-doc": "Apache-2.0 AND BSD-3-Clause",
    "gnome-user-docs": "CC-BY-SA-3.0",
    "gramps": "GPL-2+",
    "python3-skimage": "BSD-3-Clause; pictures by data/README.txt",
}
# Seen neither in training nor by any choice that was made of it.
HELD = {
    "kile-doc": "GPL-2+ AND GFDL-1.2+",
    "krusader": "GPL-2+ AND GFDL-1.1+",
    "openshot-qt-doc": "GPL-3+",
}
# Example pictures of public repositories on GitHub: the commit, and folders. They are no packages and have to be cloned.
CLONES = {
    "JaidedAI/EasyOCR": ("c4f3cd7225efd4f85451bd8b4a7646ae9a092420", ("examples",)),
    "RapidAI/RapidOCR": ("9ceb3420f551643d6daaf2ae9e06d09c37edca6a", ("python/tests/test_files",)),
}
HELD_CLONES = {
    "breezedeus/CnOCR": ("4686db2e08952e7a7843d35b200d00f428efde7b", ("docs/examples",)),
    "breezedeus/CnSTD": ("bf623a2469dd431df502b35324859bfaa08341e7", ("examples",)),
    "open-mmlab/mmocr": ("966296f26ac34cf0e96d40ab4a0a94c9a697909a", ("demo", "tests/data")),
    "faustomorales/keras-ocr": ("9661d6f29c063eb1c9261029d3593e583b0abdac", ("tests", "docs/_static")),
    "DayBreak-u/chineseocr_lite": ("54a3df53af823f3bffdde9393d0c021b4f6d94cd", (
        "test_imgs", "cpp_projects/images", "assets", "jvm_projects/OcrLiteOnnxJvm/run-test/test_imgs")),
    "argman/EAST": ("dca414de39a3a4915a019c9a02c1832a31cdd0ca", ("demo_images", "training_samples")),
}
# Packages of Debian 12 with PDFs, of whose documents pages are drawn (`pages.py`): licence, documents, pages of a document. Those
# of TeX Live are of 2022.20230122; each of their documents states its own licence.
TEXLIVE = "LPPL-1.3 AND GPL AND GFDL AND CC-BY-SA AND public-domain"
PAGES = {
    "texlive-humanities-doc": (TEXLIVE, 45, 2),
    "texlive-science-doc": (TEXLIVE, 40, 2),
    "texlive-lang-chinese": (TEXLIVE, 40, 2),
    "linuxcnc-doc-en": ("GPL-2 AND LGPL-2+ AND GPL-3+", 5, 12),
    "code-saturne-doc": ("GPL-2+", 6, 8),
    "texlive-lang-french": (TEXLIVE, 25, 2),
    "texlive-publishers-doc": (TEXLIVE, 60, 2),
    "texlive-lang-arabic": (TEXLIVE, 20, 2),
    "texlive-lang-cyrillic": (TEXLIVE, 20, 2),
    "lilypond-doc-pdf": ("GFDL-1.3+ AND GPL-3+", 20, 2),
    "texlive-lang-spanish": (TEXLIVE, 15, 2),
    "texlive-latex-recommended-doc": (TEXLIVE, 20, 2),
    "texlive-lang-czechslovak": (TEXLIVE, 12, 2),
    "octave-doc": ("GPL-3+", 5, 3),
    "abinit-doc": ("GPL-3+", 4, 6),
}
# Whole packages that no head is trained on: by the first the head was chosen, by the second nothing.
PAGES_TEST = {
    "texlive-lang-portuguese": (TEXLIVE, 20, 2),
    "texlive-lang-korean": (TEXLIVE, 15, 2),
    "texlive-lang-italian": (TEXLIVE, 20, 2),
    "gnuplot-doc": ("gnuplot", 1, 15),
    "asymptote-doc": ("LGPL-3+ AND GPL-3+", 8, 6),
    "texlive-lang-european": (TEXLIVE, 15, 2),
    "auto-multiple-choice-doc-pdf": ("GPL-2+", 7, 6),
}
PAGES_HELD = {
    "texlive-lang-german": (TEXLIVE, 20, 2),
    "texlive-lang-japanese": (TEXLIVE, 20, 2),
    "texlive-lang-greek": (TEXLIVE, 10, 2),
    "texlive-lang-polish": (TEXLIVE, 8, 1),
    "r-doc-pdf": ("GPL-2+", 8, 1),
    "debian-reference-ja": ("GPL-2+", 1, 6),
    "gap-doc": ("GPL-2+", 3, 2),
}
# What pages lie on where a camera sees them.
PAGE_PHOTOS = ("mate-backgrounds", "gnome-backgrounds")
TEST_FILES = (
    "scenetext0", "scenetext_segmented_word", "board.jpg", "box_in_scene", "cards.png", "imageText", "text_", "licenseplate",
    "building.jpg", "sudoku", "ml.png", "home.jpg", "messi5", "ela_original", "graf1", "leuvenA", "notes.png",
)


def is_test(path):
    """Whether a picture of opencv-doc belongs to the test set."""
    return "opencv-doc" in path.parts and any(path.name.startswith(name) for name in TEST_FILES)


def package(name, cache):
    """Download and unpack one Debian package below the cache, if it is not there yet."""
    root = Path(cache) / "packages" / name
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as tmp:
            subprocess.run(["apt-get", "download", "-q", name], check=True, cwd=tmp)
            subprocess.run(["dpkg", "-x", str(next(Path(tmp).glob("*.deb"))), str(root)], check=True)
    return root


def unpack_clones(clones, root, out):
    """The example folders of cloned repositories, as of their commits, below `out`. A clone lies in `root`/owner/name."""
    for name, (commit, folders) in clones.items():
        to = Path(out) / name
        to.mkdir(parents=True, exist_ok=True)
        command = ["git", "-C", str(Path(root) / name), "archive", commit, *folders]
        archive = subprocess.run(command, check=True, capture_output=True)
        subprocess.run(["tar", "x", "-C", str(to)], check=True, input=archive.stdout)


def pictures(root, smallest=15_000):
    """Pictures below a folder of at least so many bytes, in the order of their names."""
    found = (p for p in sorted(Path(root).rglob("*")) if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    return [p for p in found if p.is_file() and not p.is_symlink() and p.stat().st_size >= smallest]
