"""What the teacher finds, as boxes, and how far two findings agree."""
import cv2
import numpy as np


def boxes(probability, threshold=0.3):
    """Boxes of a map of probabilities f32 [h, w], as PP-OCR makes them: rotated rectangles of OpenCV."""
    mask = (probability >= threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        if area < 9:
            continue
        part = labels[y: y + h, x: x + w] == i
        if probability[y: y + h, x: x + w][part].mean() < 0.5:
            continue
        points = cv2.findNonZero(part.astype(np.uint8)).astype(np.float32) + [x, y]
        center, (a, b), angle = cv2.minAreaRect(points.astype(np.float32))
        if min(a, b) < 3:
            continue
        growth = 2 * a * b * 1.6 / (2 * (a + b))
        found.append((center, (a + growth, b + growth), angle))
    return found


def overlap(a, b):
    """Intersection over union of two rotated rectangles."""
    kind, points = cv2.rotatedRectangleIntersection(a, b)
    if kind == cv2.INTERSECT_NONE or points is None or len(points) < 3:
        return 0.0
    shared = cv2.contourArea(cv2.convexHull(points))
    return shared / max(a[1][0] * a[1][1] + b[1][0] * b[1][1] - shared, 1e-6)


class Agreement:
    """Sums over pictures: boxes that pair off with an IoU of at least 0.5, and pixels above the threshold."""

    def __init__(self):
        self.pairs = self.ours = self.theirs = 0
        self.shared = self.either = 0

    def add(self, ours, theirs):
        """Two maps of one picture: what is judged and the teacher's of the original."""
        a, b = boxes(ours), boxes(theirs)
        scores = sorted(((overlap(x, y), i, j) for i, x in enumerate(a) for j, y in enumerate(b)), reverse=True)
        used = set(), set()
        for score, i, j in scores:
            if score >= 0.5 and i not in used[0] and j not in used[1]:
                used[0].add(i)
                used[1].add(j)
        self.pairs += len(used[0])
        self.ours += len(a)
        self.theirs += len(b)
        x, y = ours >= 0.3, theirs >= 0.3
        self.shared += int((x & y).sum())
        self.either += int((x | y).sum())

    @property
    def f(self):
        """F-measure of the boxes."""
        return 2 * self.pairs / max(1, self.ours + self.theirs)

    @property
    def iou(self):
        """IoU of the pixels of text."""
        return self.shared / max(1, self.either)
