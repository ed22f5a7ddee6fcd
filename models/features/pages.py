"""Pages of documents and what the layout teacher says of them: flat, as a scanner or a screen has them, and as a camera does.

The teacher reads the page upright and alone, and its answer goes where the page goes: at an angle it reads worse itself.
"""
import re
import subprocess

import cv2
import numpy as np
from layout import Layout, paint
from packages import PAGE_PHOTOS, package, pictures

# Rows of a page as it is drawn from a PDF, and of the map of kinds beside it.
DRAWN, MAPPED = 1280, 640
# Frames are three wide and four high, of so many rows.
HEIGHTS = (640, 768, 896, 1024, 1152)


def leaves(name, cache, documents, each):
    """Pages of a package, drawn by chance but always the same: pairs of a PDF and a page's number, from 1 on."""
    rng = np.random.default_rng([7, len(name)])
    pdfs = sorted(p for p in package(name, cache).rglob("*.pdf") if p.is_file() and not p.is_symlink())
    out = []
    for i in rng.permutation(len(pdfs))[:documents]:
        said = subprocess.run(["pdfinfo", pdfs[i]], capture_output=True, text=True, errors="ignore").stdout
        count, size = re.search(r"Pages: +(\d+)", said), re.search(r"Page size: +([\d.]+) x ([\d.]+)", said)
        # Slides are wider than high, and the teacher knows papers.
        if count and size and float(size[1]) < 0.9 * float(size[2]):
            out += [(pdfs[i], int(n) + 1) for n in rng.permutation(int(count[1]))[:each]]
    return out


def draw(pdf, number):
    """A page u8 [DRAWN, w, 3], blue first; None where poppler cannot draw it or where nothing is on it."""
    command = ["pdftoppm", "-f", str(number), "-l", str(number), "-singlefile", "-scale-to", str(DRAWN), str(pdf)]
    data = subprocess.run(command, capture_output=True).stdout
    page = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    return page if page is not None and page.std() > 8 else None


class Pages:
    """Draws pages and makes frames of them."""

    def __init__(self, cache):
        self.layout = Layout()
        self.photos = [p for n in PAGE_PHOTOS for p in pictures(package(n, cache), 20_000)]

    def read(self, pdf, number):
        """A page and the map of kinds, u16 [MAPPED, w]; None as `draw` says."""
        page = draw(pdf, number)
        if page is None:
            return None
        return page, paint(self.layout.run(page), MAPPED, page.shape[1] * MAPPED // DRAWN)

    def flat(self, page, kinds, height, left=0.5):
        """A frame that the page fills, and the kinds at an eighth of its size."""
        width = height * 3 // 4
        scale = min(height / page.shape[0], width / page.shape[1])
        matrix = np.float32([[scale, 0, (width - scale * page.shape[1]) * left], [0, scale, (height - scale * page.shape[0]) / 2]])
        return self.place(page, kinds, np.vstack([matrix, [0, 0, 1]]), width, height, np.full(3, 255.0))

    def camera(self, page, kinds, height, rng):
        """As `flat`, of a page that lies at an angle on something, in uneven light, with the blur and noise of a small camera."""
        width, (rows, columns) = height * 3 // 4, page.shape[:2]
        corners = np.float32([[0, 0], [columns, 0], [columns, rows], [0, rows]])
        scale = min(height / rows, width / columns) * rng.uniform(0.8, 1.15)
        target = (corners - [columns / 2, rows / 2]) * scale
        angle = rng.normal(0, 0.05)
        target = target @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        target += [width / 2, height / 2] + rng.normal(0, 0.025 * height, (4, 2)) + rng.normal(0, 0.03 * height, 2)
        matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
        behind = cv2.imread(str(self.photos[rng.integers(len(self.photos))]), cv2.IMREAD_COLOR)
        behind = cv2.resize(behind, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        frame, kinds = self.place(page, kinds, matrix, width, height, behind, rng.normal([0, 4, 8], 4) + rng.uniform(0, 40))
        across, down = np.linspace(*rng.uniform(0.65, 1.05, 2), width), np.linspace(*rng.uniform(0.8, 1.1, 2), height)
        frame = frame.astype(np.float32) * (down[:, None] * across)[..., None]
        frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.3, 1.1)) + rng.normal(0, 1, frame.shape) * rng.choice([1, 2, 4])
        return np.clip(frame, 0, 255).astype(np.uint8), kinds

    @staticmethod
    def place(page, kinds, matrix, width, height, behind, paper=0):
        """A page in a frame, where `matrix` puts its pixels, and its kinds at an eighth of the size."""
        # The page is made smaller by whole pixels first: a warp alone reads four pixels and would leave most letters out.
        smaller = np.hypot(*matrix[:2, 0]) / matrix[2, 2]
        sized = cv2.resize(page, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA)
        back = np.diag([page.shape[1] / sized.shape[1], page.shape[0] / sized.shape[0], 1])
        warp = lambda image, how=cv2.INTER_LINEAR: cv2.warpPerspective(image, matrix @ back, (width, height), flags=how)
        inside = warp(np.ones(sized.shape[:2], np.float32))[..., None]
        frame = np.clip(warp(sized).astype(np.float32) - paper * inside, 0, 255) + (1 - inside) * behind
        eighth = np.diag([1 / 8, 1 / 8, 1]) @ matrix @ np.diag([DRAWN / MAPPED, DRAWN / MAPPED, 1])
        seen = cv2.warpPerspective(kinds, eighth, (width // 8, height // 8), flags=cv2.INTER_NEAREST)
        return np.clip(frame, 0, 255).astype(np.uint8), seen
