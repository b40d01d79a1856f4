"""How far PyTorch's own f32, f16 and bf16 lie from its float64, on the replay traces: what bounds of ours are derived from.

    python spread.py                   prints the table of Docs/Numerics.md and writes Tests/Fixtures/replay_spread.json
    python spread.py WORD ...          prints the traces whose name holds a WORD

Truth is the traces' float64. Each is run again in two ways:

    forced    each update starts from the trace's rows and moments and takes the trace's gradient: the error of one loss, one gradient
              and one update, each by itself
    free      as training runs: each step starts from what the last one left, and errors compound

A number is the largest of all steps and variants of max|a - b| / max|b|. The variants of a type are equally right, they round in
another order: memory layout (NCHW, NHWC); in f32 one thread or two; in 16 bits the text encoder in f32, as diffusers' script has
it, or in 16 bits as well, as ti-gpu has it.

Adam's first update moves a number of a row by the whole rate whatever the size of its gradient: where a gradient is nearer to zero
than its error, the error decides which way, and the steps behind it go on from there. In 16 bits there are such gradients, and
whether one meets a variant is chance. So free runs of 16 bits are joined by eight in float64 whose gradients are moved, up or
down at random, by the forced error of the type.
"""
from __future__ import annotations

import argparse
import itertools
import json

import torch
import transformers
from safetensors import safe_open

from common import DTYPES, FIXTURES, MODELS, demo_model, relative_error
from replay import FIXTURES as TINY, SETTINGS, run

WAYS = ("forced", "free")
QUANTITIES = {"loss": "losses", "gradient": "gradients", "rows": "embeddings", "gradient_2": "gradients_2", "rows_2": "embeddings_2"}


def traces() -> dict:
    """Name -> model folder and trace."""
    tiny = {f"{model} {file}": (MODELS / model, MODELS / model / f"{file}.safetensors") for model, file, *_ in TINY}
    return {**tiny, "demo replay": (demo_model(), FIXTURES / "demo" / "replay.safetensors")}


def read(file) -> tuple[dict, int, dict, str | None]:
    """A trace's tensors, its accumulation, its settings and its pooling."""
    with safe_open(file, "pt") as trace:
        metadata = trace.metadata()
        return ({name: trace.get_tensor(name) for name in trace.keys()}, int(metadata["accumulation"]),
                {name: float(metadata[name]) for name in SETTINGS}, metadata.get("pooling"))


def variants(dtype: str):
    """Threads, and arguments of `run`."""
    for channels_last, other in itertools.product((False, True), (False, True)):
        if dtype == "float32":
            yield 1 + other, dict(channels_last=channels_last)
        else:
            yield 1, dict(channels_last=channels_last, narrow_text=other)


def spread(model, file, dtype: str, forced: dict | None, verbose: bool) -> dict:
    """The largest error of each quantity in free runs, where `forced` has the forced errors; in forced ones without."""
    trace, accumulation, settings, pooling = read(file)
    quantities = {quantity: name for quantity, name in QUANTITIES.items() if name in trace}
    largest = dict.fromkeys(quantities, 0.0)
    runs = [(dtype, threads, variant) for threads, variant in variants(dtype)]
    if forced and dtype != "float32":
        runs += [("float64", 1, dict(disturbance={"": forced["gradient"], "_2": forced.get("gradient_2")}, seed=seed)) for seed in range(8)]
    for computed, threads, variant in runs:
        torch.set_num_threads(threads)
        found = run(model, trace, accumulation, settings, DTYPES[computed], **variant, forced=None if forced else trace, pooling=pooling)
        errors = {quantity: [relative_error(a, b) for a, b in zip(found[name], trace[name])] for quantity, name in quantities.items()}
        if verbose:
            print("   ", dtype, "free" if forced else "forced", threads, variant,
                  *(f"{quantity} {max(values):.1e} at {values.index(max(values))}" for quantity, values in errors.items()))
        largest = {quantity: max(largest[quantity], *values) for quantity, values in errors.items()}
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--verbose", action="store_true", help="each variant by itself")
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    print("| trace | type | " + " | ".join(f"{way} {quantity}" for way in WAYS for quantity in QUANTITIES) + " |")
    print("|---" * (2 + len(WAYS) * len(QUANTITIES)) + "|")
    numbers = {}
    for name, (model, file) in traces().items():
        if arguments.words and not any(word in name for word in arguments.words):
            continue
        numbers[name] = {}
        for dtype in ("float32", "float16", "bfloat16"):
            forced = spread(model, file, dtype, None, arguments.verbose)
            found = {"forced": forced, "free": spread(model, file, dtype, forced, arguments.verbose)}
            cells = [f"{errors[quantity]:.1e}" if quantity in errors else "" for errors in found.values() for quantity in QUANTITIES]
            print(f"| {name} | {dtype} | " + " | ".join(cells) + " |", flush=True)
            numbers[name][dtype] = {way: {quantity: float(f"{x:.2e}") for quantity, x in errors.items()} for way, errors in found.items()}
    if not arguments.words:
        text = json.dumps({"script": "Tools/reference/spread.py", "traces": numbers}, indent=1)
        (FIXTURES / "replay_spread.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
