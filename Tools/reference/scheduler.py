"""Writes Tests/Fixtures/samplers.safetensors: what diffusers' schedulers do with a stand-in for the model.

    python scheduler.py

For each sampler (`ddim`, `ddim_to_one`, `euler`, `dpm2m`), prediction (`epsilon`, `v_prediction`) and number of steps (10, 30)
there is, under the prefix `SAMPLER.PREDICTION.STEPS.`:

    timesteps      [steps] F32       what the model is given (Euler's and DPM-Solver's are whole numbers too)
    latents        [steps+1,2,4,3,5] before the first step, then after each; the first is N(0,1) times init_noise_sigma
    init_noise_sigma []

and once `initial` [2,4,3,5], N(0,1). With x = scale_model_input(latents, t) the stand-in's output is

    0.6 * x + 0.2 * sin(t / 100) + 0.1 * x^2 / (1 + x^2)          (for every element)

The samplers are built as diffusers builds them from SD 1.5's scheduler configuration (and the same with v_prediction):
beta 0.00085 to 0.012, scaled_linear, 1000 steps, leading spacing, steps_offset 1, set_alpha_to_one false (true in `ddim_to_one`:
diffusers' default where a configuration does not say, such as a DDPMScheduler's), no clipping. DPM-Solver++
is of order 2, midpoint, lower order at the end for fewer than 15 steps. Latents are computed in double precision on the schedulers'
own f32 tables.

    alphas_cumprod.linear, alphas_cumprod.scaled_linear   [1000]  for beta 0.0001 to 0.02 and 0.00085 to 0.012
"""
from __future__ import annotations

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from common import FIXTURES, save

STABLE_DIFFUSION = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, steps_offset=1)
SAMPLERS = {  # the configuration carries these keys where the scheduler's class knows them
    "ddim": lambda kind: DDIMScheduler(**STABLE_DIFFUSION, prediction_type=kind, clip_sample=False, set_alpha_to_one=False),
    "ddim_to_one": lambda kind: DDIMScheduler(**STABLE_DIFFUSION, prediction_type=kind, clip_sample=False),
    "euler": lambda kind: EulerDiscreteScheduler(**STABLE_DIFFUSION, prediction_type=kind, timestep_spacing="leading"),
    "dpm2m": lambda kind: DPMSolverMultistepScheduler(**STABLE_DIFFUSION, prediction_type=kind, timestep_spacing="leading"),
}


def stand_in(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return 0.6 * x + 0.2 * torch.sin(t.double() / 100) + 0.1 * x * x / (1 + x * x)


def main() -> None:
    initial = torch.randn((2, 4, 3, 5), generator=torch.Generator().manual_seed(7))
    tensors = {"initial": initial}
    for name, make in SAMPLERS.items():
        for kind in ["epsilon", "v_prediction"]:
            for steps in [10, 30]:
                sampler = make(kind)
                sampler.set_timesteps(steps)
                sigma = torch.as_tensor(sampler.init_noise_sigma)
                latents = initial.double() * sigma
                trajectory = [latents]
                for t in sampler.timesteps:
                    x = sampler.scale_model_input(latents, t)
                    latents = sampler.step(stand_in(x.double(), t), t, latents).prev_sample.double()
                    trajectory.append(latents)
                prefix = f"{name}.{kind}.{steps}."
                tensors |= {prefix + "timesteps": sampler.timesteps.float(), prefix + "latents": torch.stack(trajectory),
                            prefix + "init_noise_sigma": sigma.float()}
    for schedule, start, end in [("linear", 0.0001, 0.02), ("scaled_linear", 0.00085, 0.012)]:
        tensors[f"alphas_cumprod.{schedule}"] = DDPMScheduler(beta_schedule=schedule, beta_start=start, beta_end=end).alphas_cumprod
    save(FIXTURES / "samplers.safetensors", tensors, "scheduler.py",
         model="0.6 * x + 0.2 * sin(t / 100) + 0.1 * x^2 / (1 + x^2), x = scale_model_input(latents, t)")


if __name__ == "__main__":
    main()
