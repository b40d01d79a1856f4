"""Writes Tests/Fixtures/losses.safetensors: losses and their gradients by PyTorch in float64, from the formulas of kohya's and
diffusers' trainers.

Of predictions and targets `prediction`, `target` [3,4,5,4] (batch, height, width, channels), each at one of `timesteps` [3] of Stable
Diffusion's noise, for every NAME: `NAME.loss` [1], `NAME.gradient`.

- `squared`, `huber_snr`, `huber_exponential`, `huber_constant`: the mean over all elements; pseudo-Huber with c = 0.1 at noise of its
  own amount by each of kohya's schedules, whose thresholds are `NAME.c` [3]
- `mask`: squared, each place times `mask` [3,4,5,1]
- `min_snr_epsilon`, `min_snr_velocity`: squared, each example times min(SNR, 5) / SNR, or over SNR + 1 (arXiv 2303.09556); the weights are
  `NAME.weights` [3]
- `prior`: the mean over the first two examples, plus 0.7 times that over the last, which is of prior pictures, as DreamBooth has it; in
  kohya's terms a mean with weights, `prior.weights` [3]
- `clip.a` [2,3], `clip.b` [1,4]: gradients, which `clip_grad_norm_` brings together to the norm 0.5: `clip.a.clipped`, `clip.b.clipped`
- `together`: Huber by SNR, mask, min-SNR and the last example's weight of 0.7
"""
import torch
from common import FIXTURES, save
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

generator = torch.Generator().manual_seed(11)
schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
timesteps = torch.tensor([13, 420, 991])
shape = (3, 4, 5, 4)
prediction, target = (torch.randn(shape, generator=generator).double() for _ in range(2))
mask = torch.rand((3, 4, 5, 1), generator=generator).double()
mask[0, :2] = 0
tensors = {"prediction": prediction, "target": target, "timesteps": timesteps, "mask": mask}
prediction = prediction.clone().requires_grad_()
C = 0.1


def finish(name: str, loss: torch.Tensor) -> None:
    tensors[f"{name}.loss"] = loss.reshape(1)
    tensors[f"{name}.gradient"] = torch.autograd.grad(loss, prediction, retain_graph=True)[0]


def each(weights: torch.Tensor) -> torch.Tensor:
    return weights.reshape(3, 1, 1, 1)


def huber(c: torch.Tensor) -> torch.Tensor:
    return 2 * each(c) * (torch.sqrt((prediction - target) ** 2 + each(c) ** 2) - each(c))


alphas = schedule.alphas_cumprod[timesteps].double()
sigmas = ((1 - alphas) / alphas).sqrt()
thresholds = {
    "huber_snr": (1 - C) / (1 + sigmas) ** 2 + C,
    "huber_exponential": torch.exp(torch.log(torch.tensor(C).double()) / 1000 * timesteps),
    "huber_constant": torch.full((3,), C).double(),
}
squared = (prediction - target) ** 2
finish("squared", squared.mean())
for name, c in thresholds.items():
    tensors[f"{name}.c"] = c
    finish(name, huber(c).mean())
finish("mask", (squared * mask).mean())

snr = compute_snr(schedule, timesteps).double()
weights = {"min_snr_epsilon": snr.clamp(max=5) / snr, "min_snr_velocity": snr.clamp(max=5) / (snr + 1)}
for name, values in weights.items():
    tensors[f"{name}.weights"] = values
    finish(name, (squared.mean(dim=(1, 2, 3)) * values).mean())

# Two means of their own sizes, as one mean over three.
tensors["prior.weights"] = torch.tensor([1.5, 1.5, 0.7 * 3])
finish("prior", squared[:2].mean() + 0.7 * squared[2:].mean())
tensors["together.weights"] = weights["min_snr_epsilon"] * torch.tensor([1, 1, 0.7])
finish("together", (huber(thresholds["huber_snr"]) * mask * each(tensors["together.weights"])).mean())

parameters = {name: torch.nn.Parameter(torch.zeros(shape).double()) for name, shape in (("clip.a", (2, 3)), ("clip.b", (1, 4)))}
for name, parameter in parameters.items():
    tensors[name] = torch.randn(parameter.shape, generator=generator).double()
    parameter.grad = tensors[name].float().double()
torch.nn.utils.clip_grad_norm_(parameters.values(), 0.5)
tensors |= {f"{name}.clipped": parameter.grad for name, parameter in parameters.items()}
save(FIXTURES / "losses.safetensors", tensors, "losses.py", huber_c=C, min_snr_gamma=5)
