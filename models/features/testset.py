"""Real pictures that training never saw: photographs and scans of opencv-doc (`packages.TEST_FILES`), screenshots of
gnome-user-docs and gramps, scans of python3-skimage; and pictures of folders given by hand.

Choices (where training begins, rates) have looked at those. Pictures that no choice has seen are in `held`.

The folders for both, from clones of the repositories that packages.py names (each in FOLDER/owner/name):

    python models/features/testset.py --clones FOLDER
"""
import argparse
from pathlib import Path

import cv2
from packages import CLONES, HELD, HELD_CLONES, TEST, is_test, package, pictures, unpack_clones
from scenes import HEIGHT, WIDTH


def view(path):
    """The middle of a picture at WIDTH x HEIGHT, scaled to cover it; None for one that is far smaller."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        return None
    scale = max(WIDTH / image.shape[1], HEIGHT / image.shape[0])
    if scale > 2:
        return None
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    y, x = (image.shape[0] - HEIGHT) // 2, (image.shape[1] - WIDTH) // 2
    return image[y: y + HEIGHT, x: x + WIDTH].copy()


def load(cache, folders=()):
    """Names and pictures u8 [480, 640, 3], blue first."""
    paths = []
    for name in TEST:
        found = pictures(package(name, cache), 12_000)
        found = [p for p in found if is_test(p)] if name == "opencv-doc" else found
        # Screenshots of one program look alike: every other one will do.
        paths += found[::2] if name == "gnome-user-docs" else found
    for folder in folders:
        paths += pictures(folder, 12_000)
    return views(paths)


def held(cache, folders=()):
    """As `load`, of pictures that neither training nor a choice has seen: screenshots of three programs, and folders."""
    paths = [p for name in HELD for p in pictures(package(name, cache), 12_000)]
    # Of the languages of one manual the English one, and of the same picture in two folders one.
    paths = [p for p in paths if "HTML" not in p.parts or "en" in p.parts]
    paths += [p for folder in folders for p in pictures(folder, 12_000)]
    return views({p.read_bytes(): p for p in paths}.values())


def views(paths):
    """Names and middles of pictures that are large enough and not empty."""
    out = [(p.name, view(p)) for p in paths]
    return [(n, v) for n, v in out if v is not None and v.std() > 8]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True, help="folder of clones, each in owner/name")
    parser.add_argument("--out", type=Path, default=Path(".siskin/features/pictures"))
    args = parser.parse_args()
    unpack_clones(CLONES, args.clones, args.out / "test")
    unpack_clones(HELD_CLONES, args.clones, args.out / "held")


if __name__ == "__main__":
    main()
