"""Writes testdata/golden/video-loss.json: the loss of the video fit and its gradient, computed by PyTorch.

python3 models/tests/golden_video_loss.py
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

EXPONENTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def picture(rows, columns, a, b):
    i = torch.arange(3 * rows * columns, dtype=torch.float64)
    return (0.5 + 0.4 * torch.sin(i * a) * torch.cos(i * b)).float().double().reshape(1, 3, rows, columns)


def blur(x):
    at = torch.arange(11, dtype=torch.float64) - 5
    taps = torch.exp(-at * at / (2 * 1.5**2))
    taps = taps / taps.sum()
    c = x.shape[1]
    x = F.conv2d(x, taps.reshape(1, 1, 11, 1).repeat(c, 1, 1, 1), groups=c)
    return F.conv2d(x, taps.reshape(1, 1, 1, 11).repeat(c, 1, 1, 1), groups=c)


def ms_ssim(x, y):
    scales = max(n for n in range(1, 6) if min(x.shape[2:]) > 10 << (n - 1))
    exponents = torch.tensor(EXPONENTS[:scales], dtype=torch.float64)
    exponents = exponents / exponents.sum()
    product = 1
    for n in range(scales):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
        part = (2 * cov + 9e-4) / (vx + vy + 9e-4)
        if n == scales - 1:
            part = part * (2 * mx * my + 1e-4) / (mx * mx + my * my + 1e-4)
        product = product * part.mean(dim=(2, 3)).clamp(min=1e-6) ** exponents[n]
        padding = [s % 2 for s in x.shape[2:]]
        x, y = F.avg_pool2d(x, 2, padding=padding), F.avg_pool2d(y, 2, padding=padding)
    return product.mean()


def loss(x, y):
    error = torch.fft.fft2(x - y)
    frequency = torch.stack([error.real, error.imag]).abs().mean()
    return 60 * (0.7 * (x - y).abs().mean() + 0.3 * (1 - ms_ssim(x, y))) + frequency


def case(rows, columns):
    x = picture(rows, columns, 0.013, 0.0007).requires_grad_()
    value = loss(x, picture(rows, columns, 0.0127, 0.0009))
    value.backward()
    gradient = x.grad.flatten()
    places = range(0, len(gradient), len(gradient) // 23)
    return {
        "rows": rows,
        "columns": columns,
        "loss": value.item(),
        "gradient_scale": math.sqrt((gradient**2).mean().item()),
        "gradient": [[i, gradient[i].item()] for i in places],
    }


if __name__ == "__main__":
    path = pathlib.Path(__file__).parents[2] / "testdata/golden/video-loss.json"
    cases = [case(rows, columns) for rows, columns in [(24, 32), (37, 45), (170, 162)]]
    path.write_text(json.dumps({"cases": cases}, indent=1) + "\n")
