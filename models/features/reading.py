"""The second teacher: the text recognition network PP-OCRv6 small of the PyPI package `rapidocr` (Apache-2.0), which reads lines.
"""
from importlib.resources import files

import cv2
import numpy as np
from agreement import boxes
from running import session

HEIGHT, WIDEST = 48, 640


def corners(box):
    """Corners of a rotated rectangle f32 [4, 2] from the upper left one on, clockwise."""
    points = cv2.boxPoints(box)
    points = points[np.argsort(points[:, 0])]
    left, right = points[:2], points[2:]
    left, right = left[np.argsort(left[:, 1])], right[np.argsort(right[:, 1])]
    return np.float32([left[0], right[0], right[1], left[1]])


def crop(picture, quad):
    """The pixels of a line; one that stands is laid on its side, as rapidocr does it."""
    w, h = max(2, int(np.linalg.norm(quad[1] - quad[0]))), max(2, int(np.linalg.norm(quad[3] - quad[0])))
    matrix = cv2.getPerspectiveTransform(quad, np.float32([[0, 0], [w, 0], [w, h], [0, h]]))
    out = cv2.warpPerspective(picture, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC)
    return np.rot90(out).copy() if h >= 1.5 * w else out


class Reader:
    """Reads lines u8 [h, w, 3], blue first."""

    def __init__(self):
        self.session = session(files("rapidocr").joinpath("models/PP-OCRv6_rec_small.onnx").read_bytes())
        self.characters = self.session.get_modelmeta().custom_metadata_map["character"].splitlines() + [" "]

    def read(self, line):
        """Text and the mean probability of its characters; nothing read is 0."""
        width = int(np.clip(round(line.shape[1] * HEIGHT / line.shape[0] / 32) * 32, 32, WIDEST))
        x = cv2.resize(line, (width, HEIGHT)).astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
        p = self.session.run(None, {self.session.get_inputs()[0].name: x})[0][0]
        best = p.argmax(1)
        kept = (best > 0) & np.concatenate([[True], best[1:] != best[:-1]])
        text = "".join(self.characters[k - 1] for k in best[kept])
        return text, float(p.max(1)[kept].mean()) if kept.any() else 0.0

    def lines(self, picture, probability):
        """Lines of a picture: corners of their boxes, `inner` before they grow and `outer` after; `text`, what is read there,
        and its `score`."""
        out = []
        for inner, box in zip(boxes(probability, grown=False), boxes(probability)):
            quads = {name: corners(b).astype(float).round(1).tolist() for name, b in (("inner", inner), ("outer", box))}
            text, score = self.read(crop(picture, np.float32(quads["outer"])))
            out.append({**quads, "text": text, "score": round(score, 4)})
        return out
