"""What PyTorch makes of every operation, in double precision on tiny inputs: Tests/Fixtures/operations.safetensors.

    python operations.py

The plain loops that backends are held against are themselves held against these numbers. Names are OPERATION.TENSOR, with
`x`, `y`, `dy`, `dx` as in the operations' docstrings; pictures are [batch, height, width, channels]. Inputs are rounded to float32
before anything is computed, so that the file holds exactly what went in. See operation by operation below for the parameters,
which ReferenceTests.swift repeats.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding

from common import FIXTURES, save

torch.manual_seed(5)
tensors: dict[str, torch.Tensor] = {}


def draw(name: str, *shape: int) -> torch.Tensor:
    value = torch.randn(*shape).double()
    tensors[name] = value
    return value.clone().requires_grad_()


def nchw(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2)


def nhwc(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)


def finish(name: str, y: torch.Tensor, **inputs: torch.Tensor) -> None:
    """Stores `y`, draws `dy` and stores the gradient of each input under the name given."""
    dy = draw(f"{name}.dy", *y.shape)
    tensors[f"{name}.y"] = y
    for key, gradient in zip(inputs, torch.autograd.grad(y, list(inputs.values()), dy.detach())):
        tensors[f"{name}.{key}"] = gradient


x, w, b = draw("linear.x", 2, 3, 5), draw("linear.weight", 4, 5), draw("linear.bias", 4)
finish("linear", F.linear(x, w, b), dx=x)

for name, padding, stride, kernel in [
    ("convolution", (1, 1, 1, 1), 1, 3), ("convolution_stride", (1, 1, 1, 1), 2, 3),
    ("convolution_trailing", (0, 1, 0, 1), 2, 3), ("convolution_point", (0, 0, 0, 0), 1, 1),
]:
    x, w, b = draw(f"{name}.x", 2, 5, 6, 3), draw(f"{name}.weight", 4, 3, kernel, kernel), draw(f"{name}.bias", 4)
    finish(name, nhwc(F.conv2d(F.pad(nchw(x), padding), w, b, stride=stride)), dx=x)

# Two heads of 3.
for name, keys, causal in [("attention", 7, False), ("attention_causal", 5, True)]:
    q, k, v = draw(f"{name}.q", 2, 5, 6), draw(f"{name}.k", 2, keys, 6), draw(f"{name}.v", 2, keys, 6)
    heads = [tensor.unflatten(2, (2, 3)).transpose(1, 2) for tensor in (q, k, v)]
    o = F.scaled_dot_product_attention(*heads, is_causal=causal).transpose(1, 2).flatten(2)
    finish(name, o, dq=q, dk=k, dv=v)

# Three groups, epsilon 1e-3.
for name, activation in [("group_norm", lambda z: z), ("group_norm_silu", F.silu)]:
    x, w, b = draw(f"{name}.x", 2, 3, 4, 6), draw(f"{name}.scale", 6), draw(f"{name}.shift", 6)
    finish(name, activation(nhwc(F.group_norm(nchw(x), 3, w, b, eps=1e-3))), dx=x)

# Epsilon 1e-3.
x, w, b = draw("layer_norm.x", 2, 3, 7), draw("layer_norm.scale", 7), draw("layer_norm.shift", 7)
finish("layer_norm", F.layer_norm(x, (7,), w, b, eps=1e-3), dx=x)

for name, function in [
    ("silu", F.silu), ("gelu", F.gelu), ("geluTanh", lambda x: F.gelu(x, approximate="tanh")),
    ("quickGELU", lambda x: x * torch.sigmoid(1.702 * x)),
]:
    x = draw(f"{name}.x", 3, 11)
    finish(name, function(x), dx=x)

x = draw("geglu.x", 3, 10)
value, gate = x.chunk(2, dim=-1)
finish("geglu", value * F.gelu(gate), dx=x)

x = draw("upsample.x", 2, 3, 2, 5)
finish("upsample", nhwc(F.interpolate(nchw(x), scale_factor=2.0, mode="nearest")), dx=x)
x = draw("upsample_trimmed.x", 2, 3, 2, 5)
finish("upsample_trimmed", nhwc(F.interpolate(nchw(x), size=(5, 3), mode="nearest")), dx=x)

a, b = draw("concatenate.a", 2, 3, 4), draw("concatenate.b", 2, 3, 2)
finish("concatenate", torch.cat([a, b], dim=-1), da=a, db=b)

# Timesteps 0, 1, 250, 999; dimension 10. diffusers computes these in float32.
timesteps = torch.tensor([0, 1, 250, 999])
tensors["timesteps.y"] = get_timestep_embedding(timesteps, 10, flip_sin_to_cos=True, downscale_freq_shift=0)
tensors["timesteps_sine_first.y"] = get_timestep_embedding(
    timesteps, 10, flip_sin_to_cos=False, downscale_freq_shift=1)
tensors["timesteps_wide.y"] = get_timestep_embedding(
    torch.tensor([1, 250, 501, 999]), 320, flip_sin_to_cos=True, downscale_freq_shift=0)
tensors["timesteps_odd.y"] = get_timestep_embedding(timesteps, 7, flip_sin_to_cos=True, downscale_freq_shift=0)

prediction, target = draw("mse.prediction", 2, 3, 4), draw("mse.target", 2, 3, 4)
loss = F.mse_loss(prediction, target)
tensors["mse.y"] = loss.reshape(1)
tensors["mse.dx"] = torch.autograd.grad(loss, prediction)[0]

# A table of 4 words and 2 rows; the two prompts are 0 4 5 4 and 5 1 3 4. PyTorch sees one table of 6.
table, rows, positions = draw("embedding.table", 4, 3), draw("embedding.rows", 2, 3), draw("embedding.positions", 4, 3)
ids = torch.tensor([[0, 4, 5, 4], [5, 1, 3, 4]])
finish("embedding", F.embedding(ids, torch.cat([table, rows])) + positions, drows=rows)

# Three steps at rate 0.05 with betas 0.9 and 0.99, epsilon 1e-6, decay 0.1: gradients [3 steps, 2, 3].
parameter, gradients = draw("adamw.rows", 2, 3), draw("adamw.gradients", 3, 2, 3)
parameter = parameter.detach().requires_grad_()
optimizer = torch.optim.AdamW([parameter], lr=0.05, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1)
for gradient in gradients.detach():
    parameter.grad = gradient.clone()
    optimizer.step()
tensors["adamw.y"] = parameter

x = draw("pixel_sum.x", 2, 3, 5, 4)
finish("pixel_sum", x.sum(dim=(1, 2)), dx=x)

# The third token of the first prompt and the first of the second.
x = draw("selection.x", 2, 4, 3)
finish("selection", x[torch.arange(2), torch.tensor([2, 0])], dx=x)

save(FIXTURES / "operations.safetensors", tensors, "operations.py")
