#!/usr/bin/env python3
"""Ends runs at random moments by KILL, TERM, HUP, INT and PIPE in turn, goes on with each by `--resume RUN` alone, and holds what is left
against an unbroken run, byte for byte.

    Tools/fuzz/endings.py .build/release/ti-gpu [--runs 200] [--seed 0] [--steps 60]

A run may be ended several times before it is through. Exits with 1 where bytes differ, a file is left half-written, or an exit code is not
what the ending should give.
"""
import argparse
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

KEPT = ["learned_embeds.safetensors", "my-cat.safetensors", "metrics.csv"]
ENDINGS = ["KILL", "TERM", "HUP", "INT", "PIPE"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        start = time.monotonic()
        unbroken = folder / "unbroken"
        subprocess.run(command(arguments, unbroken), check=True, capture_output=True)
        length = time.monotonic() - start
        expected = {name: (unbroken / name).read_bytes() for name in KEPT}
        last_checkpoint = (unbroken / "checkpoints" / f"step-{arguments.steps:08}.safetensors").read_bytes()
        problems, endings, fresh = 0, {name: 0 for name in ENDINGS}, 0
        for number in range(arguments.runs):
            run = folder / f"run-{number}"
            words = command(arguments, run)
            for turn in range(50):
                ending = ENDINGS[(number + turn) % len(ENDINGS)] if turn < 4 else None
                code, text = once(words, ending, draw.uniform(0, length * 1.1))
                if ending and code is not None:
                    endings[ending] += 1
                if code is None:
                    break
                allowed = {"KILL": [-9], "TERM": [143, -15], "HUP": [129, -1], "INT": [130, -2], "PIPE": [141, -13], None: [0]}[ending]
                if code not in allowed:
                    problems += 1
                    print(f"run {number}, {ending}: exit code {code}: {text}")
                if ending is None:
                    break
                # Ended before it had written its first file: there is no run yet, and a person types the command again.
                if (run / "training.json").exists():
                    words = [arguments.program, "train", "--resume", str(run)]
                else:
                    fresh += 1
            left = [str(path.relative_to(run)) for path in run.rglob("*.partial")]
            actual = {name: (run / name).read_bytes() if (run / name).exists() else None for name in KEPT}
            checkpoint = run / "checkpoints" / f"step-{arguments.steps:08}.safetensors"
            differing = [name for name in KEPT if actual[name] != expected[name]]
            if not checkpoint.exists() or checkpoint.read_bytes() != last_checkpoint:
                differing.append(checkpoint.name)
            if left or differing:
                problems += 1
                print(f"run {number}: differing {differing}, half-written {left}")
            shutil.rmtree(run)
        print(f"{arguments.runs} runs, ended {sum(endings.values())} times {endings}, {fresh} before their first file: {problems} problems")
        sys.exit(1 if problems else 0)


def command(arguments, run):
    return [
        arguments.program, "train", "--model", "demo", "--images", "demo:my-cat", "--token", "<my-cat>", "--initializer", "cat",
        "--vectors", "2", "--steps", str(arguments.steps), "--schedule", "cosine", "--flip", "--checkpoint-every", "5", "--device", "cpu",
        "--output", str(run)]


def once(words, ending, delay):
    """Runs the program and ends it after a while; its exit code, None where it came through, and its last line."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if ending is None:
        _, text = process.communicate()
        return (None if process.returncode == 0 else process.returncode), text.decode(errors="replace").strip()[-300:]
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        if ending == "PIPE":
            process.stdout.close()
            process.stderr.close()
            # The program notices when it next says something.
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
            return process.wait() or None, "(pipe closed)"
        process.send_signal(getattr(signal, "SIG" + ending))
    # A signal behind the last step finds nothing to stop.
    _, text = process.communicate()
    return (None if process.returncode == 0 else process.returncode), text.decode(errors="replace").strip()[-300:]


main()
