"""Writes Tests/Fixtures/scheduler_configurations.safetensors: what diffusers' schedulers make of given latents and a stand-in for a model.

    python Tools/reference/scheduler_configurations.py [OUTPUT]

For each case N the file holds `N.timesteps` [S], `N.latents` [S + 1, 24] (the first as the scheduler scales the noise, then those
after every step) and `N.inputs` [S, 24], what the model is given. The stand-in's prediction at step i is
`cos(3 input + timestep / 200) / 2 + input / 3`: smooth, and another at every timestep.

Metadata: `cases`, a JSON list of `{"sampler", "name", "steps", "configuration"}`; `configuration` is the model's scheduler_config.json,
which goes through the class it names and Stable Diffusion's pipeline into the sampler's class, as
`DDIMScheduler.from_config(pipeline.scheduler.config)` does.
"""

import json
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers.configuration_utils import FrozenDict
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {"ddim": "DDIMScheduler", "euler": "EulerDiscreteScheduler", "dpm++2m": "DPMSolverMultistepScheduler"}

STABLE = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
          "num_train_timesteps": 1000, "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1}
VELOCITY = {**STABLE, "prediction_type": "v_prediction"}
DEMO = json.loads((ROOT / "Sources/DemoModel/Resources/model/scheduler/scheduler_config.json").read_text())
CONFIGURATIONS = {
    "stable": STABLE,
    "velocity": VELOCITY,
    "demo": DEMO,
    "trailing": {**STABLE, "timestep_spacing": "trailing"},
    "linspace": {**STABLE, "timestep_spacing": "linspace", "set_alpha_to_one": True},
    "leading": {**VELOCITY, "timestep_spacing": "leading"},
    "zero_snr": {**VELOCITY, "timestep_spacing": "trailing", "rescale_betas_zero_snr": True},
    "sigma_min": {**STABLE, "_class_name": "EulerDiscreteScheduler", "final_sigmas_type": "sigma_min"},
    "linear": {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "num_train_timesteps": 600, "clip_sample": True, "steps_offset": 0},
    "unsaid": {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "clip_sample": False},
    "karras": {**STABLE, "use_karras_sigmas": True},
    "karras_velocity": {**VELOCITY, "timestep_spacing": "trailing", "use_karras_sigmas": True},
    "karras_leading": {**STABLE, "timestep_spacing": "leading", "use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
    "karras_zero_snr": {**VELOCITY, "timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "use_karras_sigmas": True},
    "karras_ends": {**STABLE, "_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 10.0},
    "no_effect": {**STABLE, "_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -5.1, "variance_type": "fixed_small",
                  "timestep_type": "continuous", "flow_shift": 3.0, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 0.5},
    "first_order": {**STABLE, "_class_name": "DPMSolverMultistepScheduler", "solver_order": 1, "lower_order_final": False},
}
STEPS = {"stable": [1, 2, 7, 20, 30], "velocity": [2, 7, 30], "demo": [7, 30], "trailing": [7, 30], "linspace": [7, 20], "karras": [1, 2, 7, 30]}


def scheduler(configuration: dict, sampler: str):
    """The sampler's scheduler, by way of the class that the configuration names and of the pipeline's own corrections."""
    own = getattr(diffusers, configuration["_class_name"]).from_config(configuration)
    corrected = dict(own.config)
    corrected["steps_offset"] = 1
    if corrected.get("clip_sample", False) is True:
        corrected["clip_sample"] = False
    own._internal_dict = FrozenDict(corrected)
    return getattr(diffusers, CLASSES[sampler]).from_config(own.config)


def prediction(x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    return (torch.cos(3 * x + timestep.float() / 200) / 2 + x / 3).float()


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests/Fixtures/scheduler_configurations.safetensors"
    noise = torch.from_numpy(np.random.default_rng(5).standard_normal(24).astype(np.float32))
    tensors, cases = {"noise": noise}, []
    for sampler in CLASSES:
        for name, configuration in CONFIGURATIONS.items():
            for steps in STEPS.get(name, [8]):
                made = scheduler(configuration, sampler)
                made.set_timesteps(steps)
                if hasattr(made, "set_begin_index"):
                    made.set_begin_index(0)
                latents = noise * made.init_noise_sigma
                inputs, states = [], [latents]
                for timestep in made.timesteps:
                    scaled = made.scale_model_input(latents, timestep)
                    latents = made.step(prediction(scaled, timestep), timestep, latents, return_dict=False)[0]
                    inputs.append(scaled)
                    states.append(latents)
                number = len(cases)
                tensors[f"{number}.timesteps"] = made.timesteps.float()
                tensors[f"{number}.inputs"] = torch.stack(inputs).float()
                tensors[f"{number}.latents"] = torch.stack(states).float()
                assert all(torch.isfinite(t).all() for t in tensors.values()), (sampler, name, steps)
                cases.append({"sampler": sampler, "name": name, "steps": steps, "configuration": configuration})
    metadata = {"made_by": "Tools/reference/scheduler_configurations.py", "diffusers": diffusers.__version__, "cases": json.dumps(cases)}
    save_file(tensors, output, metadata)


if __name__ == "__main__":
    main()
