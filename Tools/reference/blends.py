"""Rows between rows by SciPy's `geometric_slerp`: `Tests/Fixtures/blends.safetensors`.

    a, b [8, 96]            rows of lengths .3 to 30; pairs 5 to 7 nearly alike, nearly opposite, and the same
    weights [5]
    between [5, 8, 96]      of each weight w: geometric_slerp of the directions at w, times (1 - w)|a| + w|b|
"""
import numpy as np
import torch
from scipy.spatial import geometric_slerp

from common import FIXTURES, save


def main() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(8, 96)) * np.geomspace(0.3, 30, 8)[:, None] / np.sqrt(96)
    b = rng.normal(size=(8, 96)) * np.geomspace(3, 0.6, 8)[:, None] / np.sqrt(96)
    b[5] = a[5] * 2 + 1e-3 * b[5]
    b[6] = -a[6] + 0.05 * b[6]
    b[7] = a[7] * 0.5
    a, b = a.astype(np.float32).astype(np.float64), b.astype(np.float32).astype(np.float64)
    weights = np.array([0, 0.25, 0.5, 0.7, 1])
    between = np.empty((5, 8, 96))
    for row in range(8):
        la, lb = np.linalg.norm(a[row]), np.linalg.norm(b[row])
        between[:, row] = geometric_slerp(a[row] / la, b[row] / lb, weights) * ((1 - weights) * la + weights * lb)[:, None]
    save(
        FIXTURES / "blends.safetensors",
        {name: torch.tensor(value) for name, value in {"a": a, "b": b, "weights": weights, "between": between}.items()}, "blends.py")


if __name__ == "__main__":
    main()
