"""Scenes with text, 640x480: words rendered onto photographs, pages, and real screenshots. The teacher labels them.

No scene needs a label of its own, so all that counts is that text of many sizes, fonts, colours and directions occurs,
and much that is not text.
"""
import re
from functools import cache as memoize

import cv2
import numpy as np
from packages import FONTS, PHOTOS, SCREENS, is_test, package, pictures
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 640, 480
CJK = "fonts-wqy-zenhei"
# The common CJK ideographs, kana and some full-width marks.
IDEOGRAPHS = [chr(c) for c in range(0x4E00, 0x9FA5, 7)] + [chr(c) for c in range(0x3041, 0x30FA)]


class Sources:
    """Everything that scenes are made of, found once."""

    def __init__(self, cache):
        photos = [p for n in PHOTOS for p in pictures(package(n, cache), 20_000)]
        self.photos = [p for p in photos if not is_test(p) and "html" not in p.parts and "shape" not in p.parts]
        self.screens = [p for n in SCREENS for p in pictures(package(n, cache))]
        fonts = [(n, p) for n in FONTS for p in sorted(package(n, cache).rglob("*")) if p.suffix in (".ttf", ".otf", ".ttc")]
        self.fonts = [str(p) for n, p in fonts if n != CJK and "Keyboard" not in p.name and "Symbol" not in p.name]
        self.cjk = [str(p) for n, p in fonts if n == CJK]
        self.words = words(cache)


def words(cache):
    """Words of the English manuals of GIMP, as they stand there: with case, figures and punctuation."""
    texts = sorted(package("gimp-help-en", cache).rglob("*.html"))[:400]
    plain = (re.sub(r"<[^>]*>", " ", p.read_text(errors="ignore")) for p in texts)
    return [w for text in plain for w in text.split() if 1 <= len(w) <= 18 and w.isascii()]


@memoize
def font(path, size):
    return ImageFont.truetype(path, size)


def phrase(sources, rng, most=5):
    """A line of text and the font for it."""
    if rng.random() < 0.2:
        return "".join(rng.choice(IDEOGRAPHS, rng.integers(2, 14))), sources.cjk[rng.integers(len(sources.cjk))]
    kind, start = rng.random(), rng.integers(len(sources.words) - 8)
    text = " ".join(sources.words[start: start + rng.integers(1, most + 1)])
    if kind < 0.12:
        text = "".join(rng.choice(list("0123456789.,:-/%$"), rng.integers(2, 11)))
    elif kind < 0.35:
        text = text.upper()
    return text, sources.fonts[rng.integers(len(sources.fonts))]


def line_mask(text, path, size):
    """A line of text as an alpha mask u8 [h, w], or None where the font cannot draw it."""
    try:
        drawn = font(path, int(size))
        left, top, right, bottom = drawn.getbbox(text)
        if right - left < 3 or bottom - top < 3 or right - left > 4000:
            return None
        image = Image.new("L", (right - left + 8, bottom - top + 8))
        ImageDraw.Draw(image).text((4 - left, 4 - top), text, 255, font=drawn)
        return np.asarray(image)
    except OSError:
        return None


def load(path, rng, low, high):
    """A random view of WIDTH x HEIGHT into a picture that is made smaller by a factor between low and high."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        return None
    cover = max(WIDTH / image.shape[1], HEIGHT / image.shape[0])
    scale = max(cover, rng.uniform(low, high)) if cover < 1.6 else rng.uniform(low, high)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=method)
    h, w = image.shape[:2]
    if h < HEIGHT or w < WIDTH:
        edge = image[0, 0].tolist()
        dy, dx = max(0, HEIGHT - h), max(0, WIDTH - w)
        y, x = rng.integers(dy + 1), rng.integers(dx + 1)
        image = cv2.copyMakeBorder(image, y, dy - y, x, dx - x, cv2.BORDER_CONSTANT, value=edge)
        h, w = image.shape[:2]
    y, x = rng.integers(h - HEIGHT + 1), rng.integers(w - WIDTH + 1)
    return image[y: y + HEIGHT, x: x + WIDTH].copy()


def color(rng, away_from=None):
    """A color, at some distance in brightness from another one."""
    for _ in range(20):
        c = rng.integers(0, 256, 3).astype(np.float32) if rng.random() < 0.6 else np.full(3, rng.integers(0, 256), np.float32)
        if away_from is None or abs(c.mean() - away_from.mean()) > rng.uniform(35, 110):
            break
    return c


def place(rng, w, h, angle):
    """Where a line of w x h goes: a homography from its own pixels into the scene."""
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    turned = corners - [w / 2, h / 2]
    turned = turned @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned += rng.normal(0, 0.05, (4, 2)) * h * (rng.random() < 0.5)
    center = np.array([rng.uniform(0.05, 0.95) * WIDTH, rng.uniform(0.05, 0.95) * HEIGHT])
    return cv2.getPerspectiveTransform(corners, (turned + center).astype(np.float32))


def add_line(scene, taken, sources, rng, size, angle):
    """Draw one line where no other is yet; often on a plate of its own, or with an outline."""
    text, path = phrase(sources, rng)
    mask = line_mask(text, path, size)
    if mask is None:
        return
    for _ in range(6):
        matrix = place(rng, mask.shape[1], mask.shape[0], angle)
        area = cv2.warpPerspective(np.full(mask.shape, 255, np.uint8), matrix, (WIDTH, HEIGHT))
        if area.any() and not (taken & area).any():
            break
    else:
        return
    taken |= cv2.dilate(area, np.ones((5, 5), np.uint8))
    alpha = cv2.warpPerspective(mask, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA).astype(np.float32)[..., None] / 255
    below = scene[area > 0].mean(0)
    if rng.random() < 0.3:
        below = color(rng)
        solid = cv2.GaussianBlur(area, (3, 3), 0).astype(np.float32)[..., None] / 255 * rng.uniform(0.6, 1)
        scene += solid * (below - scene)
    ink = color(rng, below)
    if rng.random() < 0.15:
        wide = cv2.dilate(alpha, np.ones((3, 3)))[..., None]
        scene += wide * (color(rng, ink) - scene)
    scene += alpha * rng.uniform(0.7, 1) * (ink - scene)


def on_photo(sources, rng):
    """Lines of text on a photograph or on a smooth background."""
    scene = None
    if rng.random() < 0.85:
        scene = load(sources.photos[rng.integers(len(sources.photos))], rng, 0.15, 1.0)
    if scene is None:
        corner = np.stack([[color(rng), color(rng)], [color(rng), color(rng)]])
        scene = cv2.resize(corner, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    scene, taken = scene.astype(np.float32), np.zeros((HEIGHT, WIDTH), np.uint8)
    tilt = rng.normal(0, 0.12) if rng.random() < 0.7 else rng.uniform(-np.pi / 2, np.pi / 2)
    tilt += np.pi * (rng.random() < 0.25)
    base = np.exp(rng.uniform(np.log(9), np.log(70)))
    for _ in range(rng.choice([0, 1, 2, 4, 8, 16], p=[0.12, 0.13, 0.2, 0.25, 0.2, 0.1])):
        size = np.clip(base * np.exp(rng.normal(0, 0.35)), 8, 120)
        add_line(scene, taken, sources, rng, size, tilt + rng.normal(0, 0.03))
    return scene


def page(sources, rng):
    """A page of text, seen at an angle."""
    paper = np.full(3, rng.uniform(170, 255), np.float32) + rng.normal(0, 6, 3)
    ink = paper * rng.uniform(0, 0.55)
    if rng.random() < 0.2:
        paper, ink = ink, paper
    w, h = int(WIDTH * 1.3), int(HEIGHT * 1.3)
    sheet = np.zeros((h, w), np.uint8)
    size, y = rng.uniform(9, 26), rng.integers(10, 60)
    face = sources.fonts[rng.integers(len(sources.fonts))]
    while y < h - 60:
        own = size * (rng.uniform(1.3, 2.4) if rng.random() < 0.1 else 1)
        text, cjk = phrase(sources, rng, 14)
        mask = line_mask(text, cjk if cjk in sources.cjk else face, own)
        if mask is not None:
            x = rng.integers(10, 80)
            part = mask[: h - y, : w - x]
            sheet[y: y + part.shape[0], x: x + part.shape[1]] = part
        y += int(own * rng.uniform(1.25, 1.7)) + (int(own) if rng.random() < 0.1 else 0)
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    target = (corners - [w / 2, h / 2]) * rng.uniform(0.75, 1.05)
    angle = rng.normal(0, 0.06) + np.pi * (rng.random() < 0.25)
    target = target @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    target += [WIDTH / 2, HEIGHT / 2] + rng.normal(0, 12, (4, 2))
    matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
    behind = load(sources.photos[rng.integers(len(sources.photos))], rng, 0.2, 1.0)
    scene = np.full((HEIGHT, WIDTH, 3), 90, np.float32) if behind is None else behind.astype(np.float32)
    inside = cv2.warpPerspective(np.full((h, w), 255, np.uint8), matrix, (WIDTH, HEIGHT))[..., None] / 255
    alpha = cv2.warpPerspective(sheet, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)[..., None] / 255
    light = np.linspace(rng.uniform(0.6, 1), rng.uniform(0.6, 1), WIDTH)[None, :, None]
    return scene * (1 - inside) + inside * light * (paper + alpha * (ink - paper))


def scene(sources, rng):
    """One scene, u8 [HEIGHT, WIDTH, 3], blue first as OpenCV has it."""
    kind, out = rng.random(), None
    if kind < 0.25:
        out = load(sources.screens[rng.integers(len(sources.screens))], rng, 0.45, 1.5)
        if out is not None and rng.random() < 0.15:
            out = out[::-1, ::-1].copy()
    elif kind < 0.45:
        out = page(sources, rng)
    if out is None:
        out = on_photo(sources, rng)
    out = out.astype(np.float32)
    if rng.random() < 0.35:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 1.3))
    out = out * rng.uniform(0.6, 1.1) + rng.normal(0, 1, out.shape) * rng.choice([0, 0, 1.5, 4])
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))]
        out = cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR)
    return out
