"""Writes Tests/Fixtures/spherical.safetensors: twenty updates of spherical training from given gradients, by PyTorch in float64.

The equations are those of Sources/TextualInversion/Optimizers/Spherical.swift, written with PyTorch's own operations; angle and schedule stand in
the metadata.

- `initial` [n, width]: a phrase's rows, and `norm` [1], the vocabulary's mean length
- `gradients` [steps, examples, n, width]: of very different sizes; the last row is not seen by the first example
- `rows` [steps + 1, n, width]: on the sphere, then after each step
"""
import math

import torch
from common import FIXTURES, save

STEPS, EXAMPLES, ROWS, WIDTH, ANGLE = 20, 4, 3, 16, 0.16
generator = torch.Generator().manual_seed(5)


def draw(*shape):
    return torch.randn(*shape, generator=generator).double()


initial = draw(ROWS, WIDTH).float().double()
norm = torch.tensor([0.37], dtype=torch.float32).double()
sizes = torch.logspace(-6, 2, STEPS * EXAMPLES).double()[torch.randperm(STEPS * EXAMPLES, generator=generator)]
gradients = (draw(STEPS, EXAMPLES, ROWS, WIDTH) * sizes.reshape(STEPS, EXAMPLES, 1, 1)).float().double()
gradients[:, 0, -1] = 0

direction = torch.nn.functional.normalize(initial, dim=1)
rows = [direction * norm]
for step in range(STEPS):
    eta = ANGLE / 2 * (1 + math.cos(math.pi * step / STEPS))
    total = torch.zeros_like(direction)
    for example in gradients[step]:
        tangent = example - (example * direction).sum(1, keepdim=True) * direction
        total += torch.nn.functional.normalize(tangent, dim=1, eps=1e-300)
    direction = torch.nn.functional.normalize(direction - eta * total / EXAMPLES, dim=1)
    rows.append(direction * norm)
save(
    FIXTURES / "spherical.safetensors", {"initial": initial, "norm": norm, "gradients": gradients, "rows": torch.stack(rows)}, "spherical.py",
    angle=ANGLE, schedule="cosine")
