"""Writes Tests/Fixtures/settling.json: sequences of losses, and the place at which each has settled by DVAR's rule (arXiv 2302.04841).

    python settling.py OUTPUT

By numpy's variance: the first place with more than six values up to it at which that of the last six is under 0.15 of that of all.
"""
import json
import sys
from pathlib import Path

import numpy


def settled(losses: numpy.ndarray) -> int | None:
    for count in range(7, len(losses) + 1):
        if numpy.var(losses[count - 6:count]) < 0.15 * numpy.var(losses[:count]):
            return count - 1
    return None


def main(output: Path) -> None:
    rng = numpy.random.default_rng(0)
    cases = []
    for _ in range(30):
        count, drop, speed, noise = rng.integers(3, 40), rng.uniform(0, 0.02), rng.uniform(0.02, 0.5), rng.uniform(1e-4, 3e-3)
        losses = 0.02 + drop * numpy.exp(-speed * numpy.arange(count)) + noise * rng.standard_normal(count)
        losses = numpy.float32(numpy.round(losses, 5)).astype(numpy.float64)
        cases.append({"losses": [round(float(x), 5) for x in losses], "settled": settled(losses)})
    output.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
