"""Writes Tests/Fixtures/prodigy.safetensors: thirty updates by prodigyopt, the package of Prodigy's authors, in float64.

For each NAME, one set of options (in the metadata under its name):

- `NAME.gradients` [steps, n, width]: of a bowl around a far point, seen from the rows, with noise; so that d grows
- `NAME.rows` [steps + 1, n, width]: before the first step, then after each; `NAME.d` [steps]: behind each step
"""
import json

import torch
from common import FIXTURES, save
from prodigyopt import Prodigy

STEPS, ROWS, WIDTH = 30, 2, 12
COMMON = dict(use_bias_correction=True, safeguard_warmup=True)
CASES = {
    "default": dict(betas=(0.9, 0.99), weight_decay=0.01),
    "other": dict(betas=(0.8, 0.95), weight_decay=0.3, eps=1e-6, d0=1e-5, lr=1.5),
}
generator = torch.Generator().manual_seed(7)
tensors = {}
for name, options in CASES.items():
    parameter = torch.nn.Parameter((torch.randn(ROWS, WIDTH, generator=generator) * 0.05).float().double())
    goal = torch.randn(ROWS, WIDTH, generator=generator).double()
    scale = torch.logspace(-3, 1, WIDTH).double()
    optimizer = Prodigy([parameter], **COMMON, **options)
    rows, gradients, distances = [parameter.detach().clone()], [], []
    for _ in range(STEPS):
        noise = torch.randn(ROWS, WIDTH, generator=generator).double()
        gradient = (scale * (parameter.detach() - goal + 0.3 * noise) * 1e-3).float().double()
        parameter.grad = gradient.clone()
        optimizer.step()
        gradients.append(gradient)
        rows.append(parameter.detach().clone())
        distances.append(optimizer.param_groups[0]["d"])
    print(name, distances[0], distances[9], distances[-1])
    tensors |= {f"{name}.gradients": torch.stack(gradients), f"{name}.rows": torch.stack(rows),
                f"{name}.d": torch.tensor(distances, dtype=torch.float64)}
save(FIXTURES / "prodigy.safetensors", tensors, "prodigy.py", **{name: json.dumps(options) for name, options in CASES.items()})
