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


def pictures(root, smallest=15_000):
    """Pictures below a folder of at least so many bytes, in the order of their names."""
    found = (p for p in sorted(Path(root).rglob("*")) if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    return [p for p in found if p.is_file() and not p.is_symlink() and p.stat().st_size >= smallest]
