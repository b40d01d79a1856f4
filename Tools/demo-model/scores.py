"""Trains the demo model's concepts with a recipe, over seeds, and scores what is drawn with each word: a line a run.

    python scores.py PROGRAM JUDGE [--concepts NAME...] [--seeds 0 1 2] [--recipe 'NAME=OPTIONS'...] [--work DIR]

PROGRAM is ti-gpu, JUDGE what `judge.py train` wrote. A recipe is a name and options of `ti-gpu train`; the defaults where none is
given. Runs start from the concept's noun, or from what the model finds itself with `--initializer=`. Each word is drawn 24 times by `ti-gpu generate` (30 steps of DDIM, guidance 5), on six backgrounds that are none of the
concept's colours, and scored by judge.py. Seconds are those of the whole run, loading and pictures included.
"""
from __future__ import annotations

import argparse
import json
import shlex
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import torch
from PIL import Image

from concepts import CONCEPTS, main as draw
from judge import Judge, score
from render import COLORS


def run(*command) -> dict:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout)


def trained(program: str, pictures: Path, concept: str, seed: int, options: list[str], output: Path) -> dict:
    _, kind, noun = CONCEPTS[concept]
    start = [] if any(option.startswith("--initializer") for option in options) else ["--initializer", noun]
    return run(program, "train", "--model", "demo", "--images", pictures, "--token", f"<{concept}>", "--kind", kind, *start,
               "--seed", seed, "--output", output, "--overwrite", "--device", "cpu", "--json",
               *(option for option in options if option != "--initializer="))


def drawn(program: str, concept: str, word: Path, work: Path) -> list[tuple[Image.Image, str]]:
    fixed = CONCEPTS[concept][0]
    grounds = [name for name in COLORS if name not in fixed.values()][:6]
    noun = f"a photo of a cat in the style of <{concept}>" if CONCEPTS[concept][1] == "style" else f"a photo of a <{concept}>"
    pictures = []
    for ground in grounds:
        folder = work / ground
        found = run(program, "generate", "--model", "demo", "--embedding", word, "--prompt", f"{noun} on a {ground} background",
                    "--count", 4, "--seed", 100, "--guidance", 5, "--output", folder, "--device", "cpu", "--json")
        pictures += [(Image.open(picture["file"]), ground) for picture in found["pictures"]]
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("judge", type=Path)
    parser.add_argument("--concepts", nargs="+", choices=CONCEPTS, default=list(CONCEPTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--recipe", action="append", metavar="NAME=OPTIONS")
    parser.add_argument("--work", type=Path, help="keeps runs and pictures here")
    a = parser.parse_args()
    judge = Judge()
    judge.load_state_dict(torch.load(a.judge, weights_only=True))
    judge.eval()
    work = a.work or Path(tempfile.mkdtemp())
    draw(work / "concepts", a.concepts)
    for recipe, _, text in (recipe.partition("=") for recipe in a.recipe or ["default"]):
        found = []
        print(f"| {recipe} | seed | concept | background | steps | seconds | loss |\n|---|---|---|---|---|---|---|", flush=True)
        for concept in a.concepts:
            pictures = work / "concepts" / concept
            (pictures / "concept.json").unlink(missing_ok=True)
            for seed in a.seeds:
                output = work / f"{recipe}-{concept}-{seed}"
                result = trained(a.program, pictures, concept, seed, shlex.split(text), output)
                hits, grounds = score(judge, drawn(a.program, concept, result["embedding"], output / "drawn"), CONCEPTS[concept][0])
                found.append((hits, grounds, result["seconds"]))
                loss = result.get("held_out_loss") or result["final_loss"]
                print(f"| {concept} | {seed} | {hits:.2f} | {grounds:.2f} | {result['steps_done']} | {result['seconds']:.1f} | {loss:.4f} |",
                      flush=True)
        hits, grounds, seconds = zip(*found)
        print(f"| mean | | {statistics.mean(hits):.3f} | {statistics.mean(grounds):.3f} | | {statistics.mean(seconds):.1f} | |\n"
              f"| least | | {min(hits):.2f} | {min(grounds):.2f} | | {max(seconds):.1f} (most) | |\n", flush=True)
    if not a.work:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
