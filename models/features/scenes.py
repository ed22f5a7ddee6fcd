"""Scenes with text, 640x480: words rendered onto photographs, pages, and real screenshots. The teacher labels them.

No scene needs a label of its own, so all that counts is that text of many sizes, fonts, colours and directions occurs,
and much that is not text.
"""
import re
from functools import cache as memoize

import cv2
import numpy as np
from packages import FONTS, PHOTOS, SCREENS, TEXTS, is_test, package, pictures
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 640, 480
KOREAN = "fonts-nanum"
CJK = ("fonts-wqy-zenhei", "fonts-wqy-microhei", "fonts-arphic-uming", "fonts-arphic-ukai")
# The common CJK ideographs, kana and some full-width marks.
IDEOGRAPHS = [chr(c) for c in range(0x4E00, 0x9FA5, 7)] + [chr(c) for c in range(0x3041, 0x30FA)]

# The Hangul syllables that are in use.
SYLLABLES = [chr(c) for c in range(0xAC00, 0xD7A4) if len(chr(c).encode("euc-kr", "ignore")) == 2]


class Sources:
    """Everything that scenes are made of, found once."""

    def __init__(self, cache, cjk_share=0.3):
        self.cjk_share = cjk_share
        photos = [p for n in PHOTOS for p in pictures(package(n, cache), 20_000)]
        self.photos = [p for p in photos if not is_test(p) and "html" not in p.parts and "shape" not in p.parts]
        # By package, so that no manual with many pictures drowns the others.
        self.screens = [pictures(package(n, cache)) for n in SCREENS]
        fonts = [(n, p) for n in FONTS for p in sorted(package(n, cache).rglob("*")) if p.suffix in (".ttf", ".otf", ".ttc")]
        self.fonts = [str(p) for n, p in fonts if n != KOREAN and "Keyboard" not in p.name and "Symbol" not in p.name]
        self.cjk, self.korean = ([str(p) for n, p in fonts if n in names] for names in (CJK, (KOREAN,)))
        self.words, self.runs = words(cache), runs(cache)


def words(cache):
    """Words of the English manuals of GIMP, as they stand there: with case, figures and punctuation."""
    texts = sorted(package("gimp-help-en", cache).rglob("*.html"))[:400]
    plain = (re.sub(r"<[^>]*>", " ", p.read_text(errors="ignore")) for p in texts)
    return [w for text in plain for w in text.split() if 1 <= len(w) <= 18 and w.isascii()]


def runs(cache):
    """Runs of Chinese and Japanese without spaces, from Debian's reference."""
    texts = [p for n in TEXTS for p in sorted(package(n, cache).rglob("ch*.html"))]
    plain = (re.sub(r"<[^>]*>", " ", p.read_text(errors="ignore")) for p in texts)
    return [r for text in plain for r in re.findall("[\u3001-\u30ff\u4e00-\u9fff\uff01-\uff1f]{2,}", text)]


@memoize
def font(path, size):
    return ImageFont.truetype(path, size)


def phrase(sources, rng, most=5):
    """A line of text and the font for it."""
    if rng.random() < sources.cjk_share:
        if rng.random() < 0.2:
            text = "".join(rng.choice([*SYLLABLES, *" " * 500], rng.integers(2, 14)))
            return text, sources.korean[rng.integers(len(sources.korean))]
        face = sources.cjk[rng.integers(len(sources.cjk))]
        if rng.random() < 0.3:
            return "".join(rng.choice(IDEOGRAPHS, rng.integers(2, 14))), face
        run, length = sources.runs[rng.integers(len(sources.runs))], rng.integers(2, 14)
        start = rng.integers(max(1, len(run) - length))
        return run[start: start + length], face
    kind, start = rng.random(), rng.integers(len(sources.words) - 8)
    text = " ".join(sources.words[start: start + rng.integers(1, most + 1)])
    if kind < 0.12:
        text = "".join(rng.choice(list("0123456789.,:-/%$"), rng.integers(2, 11)))
    elif kind < 0.35:
        text = text.upper()
    return text, sources.fonts[rng.integers(len(sources.fonts))]


def is_cjk(c):
    """Whether a character is of the writing of Chinese, Japanese or Korean."""
    return "\u2e80" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7af" or "\uf900" <= c <= "\ufaff" or "\uff66" <= c <= "\uff9f"


def line_mask(text, path, size, upright=False):
    """A line of text as an alpha mask u8 [h, w], or from top to bottom, or None where the font cannot draw it."""
    try:
        drawn = font(path, int(size))
        text = "\n".join(text) if upright else text
        left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=drawn, spacing=0)
        left, top, right, bottom = int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))
        if right - left < 3 or bottom - top < 3 or right - left > 4000:
            return None
        image = Image.new("L", (right - left + 8, bottom - top + 8))
        ImageDraw.Draw(image).multiline_text((4 - left, 4 - top), text, 255, font=drawn, spacing=0)
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


def note(lines, text, corners, matrix):
    """Write down a line: its text and where it lies in the scene, a little within the pixels that it was drawn from."""
    left, top, right, bottom = corners
    dx, dy = 0.02 * (right - left), 0.12 * (bottom - top)
    inner = np.float32([[left + dx, top + dy], [right - dx, top + dy], [right - dx, bottom - dy], [left + dx, bottom - dy]])
    lines.append({"text": text, "inner": cv2.perspectiveTransform(inner[None], matrix)[0].round(1).tolist(), "score": 1.0})


def add_line(scene, taken, sources, rng, size, angle, lines):
    """Draw one line where no other is yet; often on a plate of its own, or with an outline."""
    text, path = phrase(sources, rng)
    mask = line_mask(text, path, size, is_cjk(text[0]) and rng.random() < 0.12)
    if mask is None:
        return
    for _ in range(6):
        matrix = place(rng, mask.shape[1], mask.shape[0], angle)
        area = cv2.warpPerspective(np.full(mask.shape, 255, np.uint8), matrix, (WIDTH, HEIGHT))
        if area.any() and not (taken & area).any():
            break
    else:
        return
    note(lines, text, (4, 4, mask.shape[1] - 4, mask.shape[0] - 4), matrix)
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


def on_photo(sources, rng, lines):
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
        add_line(scene, taken, sources, rng, size, tilt + rng.normal(0, 0.03), lines)
    return scene


def page(sources, rng, lines):
    """A page of text, seen at an angle."""
    paper = np.full(3, rng.uniform(170, 255), np.float32) + rng.normal(0, 6, 3)
    ink = paper * rng.uniform(0, 0.55)
    if rng.random() < 0.2:
        paper, ink = ink, paper
    w, h = int(WIDTH * 1.3), int(HEIGHT * 1.3)
    sheet = np.zeros((h, w), np.uint8)
    size, y, own_lines = rng.uniform(9, 26), rng.integers(10, 60), []
    face = sources.fonts[rng.integers(len(sources.fonts))]
    while y < h - 60:
        own = size * (rng.uniform(1.3, 2.4) if rng.random() < 0.1 else 1)
        text, cjk = phrase(sources, rng, 14)
        mask = line_mask(text, face if text.isascii() else cjk, own)
        if mask is not None:
            x = rng.integers(10, 80)
            part = mask[: h - y, : w - x]
            sheet[y: y + part.shape[0], x: x + part.shape[1]] = part
            own_lines.append((text, (x + 4, y + 4, x + part.shape[1] - 4, y + part.shape[0] - 4)))
        y += int(own * rng.uniform(1.25, 1.7)) + (int(own) if rng.random() < 0.1 else 0)
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    target = (corners - [w / 2, h / 2]) * rng.uniform(0.75, 1.05)
    angle = rng.normal(0, 0.06) + np.pi * (rng.random() < 0.25)
    target = target @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    target += [WIDTH / 2, HEIGHT / 2] + rng.normal(0, 12, (4, 2))
    matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
    for text, corners in own_lines:
        note(lines, text, corners, matrix)
    behind = load(sources.photos[rng.integers(len(sources.photos))], rng, 0.2, 1.0)
    scene = np.full((HEIGHT, WIDTH, 3), 90, np.float32) if behind is None else behind.astype(np.float32)
    inside = cv2.warpPerspective(np.full((h, w), 255, np.uint8), matrix, (WIDTH, HEIGHT))[..., None] / 255
    alpha = cv2.warpPerspective(sheet, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)[..., None] / 255
    light = np.linspace(rng.uniform(0.6, 1), rng.uniform(0.6, 1), WIDTH)[None, :, None]
    return scene * (1 - inside) + inside * light * (paper + alpha * (ink - paper))


def scene(sources, rng, drawn=None):
    """One scene, u8 [HEIGHT, WIDTH, 3], blue first as OpenCV has it. With a list `drawn`, the lines that were drawn go into it, and
    there are no screenshots, of whose lines nothing is known."""
    kind, out, lines = rng.random(), None, [] if drawn is None else drawn
    if drawn is not None:
        kind = 0.4 + 0.6 * kind
    if kind < 0.4:
        own = sources.screens[rng.integers(len(sources.screens))]
        out = load(own[rng.integers(len(own))], rng, 0.45, 1.5)
        if out is not None and rng.random() < 0.2:
            out = out[::-1, ::-1].copy()
    elif kind < 0.55:
        out = page(sources, rng, lines)
    if out is None:
        out = on_photo(sources, rng, lines)
    out = out.astype(np.float32)
    if rng.random() < 0.35:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 1.3))
    out = out * rng.uniform(0.6, 1.1) + rng.normal(0, 1, out.shape) * rng.choice([0, 0, 1.5, 4])
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))]
        out = cv2.imdecode(cv2.imencode(".jpg", out, quality)[1], cv2.IMREAD_COLOR)
    return out
