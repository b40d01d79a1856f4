"""Times a full-size training step in ti-gpu and in PyTorch + diffusers, in turn, and prints the ratios. Tools/bench calls it.

Every timing is a process of its own, so that one's memory and threads do not burden the other's; `--rounds` repeats the whole
turn and the fastest of each counts, since a machine shared with others is only ever slower than it could be.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def measure(command: list[str]) -> dict:
    """The JSON object that `command` prints, and the most memory that the process held."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    start = output.index("{")
    return json.loads(output[start:]) | {"process_bytes": usage.ru_maxrss * 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the ti-gpu to time")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16", "f16"])
    parser.add_argument("--steps", type=int, default=3, help="timed steps a run, after one that is not")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", action="append", help="a device of ti-gpu; cpu and opencl by default")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    pytorch = "PyTorch + diffusers"
    best: dict[str, dict] = {}
    for round_number in range(arguments.rounds):
        for device in [*(arguments.device or ["cpu", "opencl"]), pytorch]:
            print(f"round {round_number + 1} of {arguments.rounds}: {device}", file=sys.stderr, flush=True)
            if device == pytorch:
                command = [
                    sys.executable, str(HERE / "step_sd15.py"), "--dtype", arguments.precision,
                    "--steps", str(arguments.steps), "--threads", str(len(os.sched_getaffinity(0)))]
            else:
                command = [
                    arguments.program, "bench", "--model-shape", "sd15", "--only", "step", "--device", device,
                    "--precision", arguments.precision, "--steps", str(arguments.steps), "--json"]
            result = measure(command)
            if device not in best or result["step_milliseconds"] < best[device]["step_milliseconds"]:
                best[device] = result

    reference = best[pytorch]["step_milliseconds"]
    rows = {
        device: {
            "step_milliseconds": result["step_milliseconds"],
            "ratio": result["step_milliseconds"] / reference,
            # PyTorch's allocator on the CPU keeps no such count; its script reports the process.
            "peak_bytes": None if device == pytorch else result["peak_bytes"],
            "process_bytes": result["process_bytes"],
        }
        for device, result in best.items()
    }
    if arguments.json:
        print(json.dumps({"precision": arguments.precision, "steps": rows}))
        return
    print(f"\nOne training step, Stable Diffusion 1.5's shape, 512 px, batch 1, {arguments.precision}")
    print(f"{'':22}{'seconds':>9}{'of PyTorch':>12}{'tensors GiB':>13}{'process GiB':>13}")
    for device, row in rows.items():
        tensors = f"{row['peak_bytes'] / 2**30:.2f}" if row["peak_bytes"] else "-"
        print(
            f"{device:22}{row['step_milliseconds'] / 1000:9.2f}{row['ratio']:12.2f}{tensors:>13}"
            f"{row['process_bytes'] / 2**30:13.2f}")


if __name__ == "__main__":
    main()
