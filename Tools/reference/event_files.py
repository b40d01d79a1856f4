"""TensorBoard's event files.

    event_files.py write          Tests/Fixtures/tensorboard/events: what torch.utils.tensorboard writes of a few scalars, an image
                                  and a restart at a fixed time; image.png beside it is the picture in it
    event_files.py read RUN       reads a run's event files with the tensorboard package and holds them against its metrics.csv and
                                  previews
"""
from __future__ import annotations

import csv
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

FIXTURES = Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"
TIME = 1700000000.25


def write() -> None:
    import numpy as np
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from torch.utils.tensorboard import SummaryWriter

    target = FIXTURES / "tensorboard"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(time, "time", lambda: TIME):
        writer = SummaryWriter(folder, purge_step=7)
        for tag, value, step in [("loss/train", 0.25, 7), ("loss/train", 0.0, 8), ("row_angle", -12.345, 2**33), ("é", 3e-39, 0)]:
            writer.add_scalar(tag, value, step)
        pixels = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3) * 7
        writer.add_image("previews/1", pixels, 250, dataformats="HWC")
        writer.close()
        (file,) = Path(folder).iterdir()
        (target / "events").write_bytes(file.read_bytes())
        for event in EventFileLoader(str(file)).Load():
            print(event)
        # The loader turns images into tensors of their parts: width, height, bytes.
        images = [v.tensor.string_val[2] for e in EventFileLoader(str(file)).Load() for v in e.summary.value if v.tag == "previews/1"]
        (target / "image.png").write_bytes(images[0])


def read(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    print("scalars", tags["scalars"], "images", tags["images"])
    columns = {"loss": "loss/train", "held_out_loss": "loss/held_out"}
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    checked = 0
    for column in rows[0]:
        tag = columns.get(column, column.replace("_2", "/encoder_2"))
        expected = {int(row["step"]): float(row[column]) for row in rows if column != "step" and row[column]}
        if not expected:
            continue
        # The initializer's own held-out loss is no step's.
        found = {event.step: event.value for event in events.Scalars(tag) if event.step > 0}
        assert found.keys() == expected.keys(), (tag, found.keys() ^ expected.keys())
        for step, value in expected.items():
            assert abs(found[step] - value) <= 1e-6 * abs(value), (tag, step, found[step], value)
        checked += len(expected)
    pictures = 0
    for tag in tags["images"]:
        for image in events.Images(tag):
            file = run / "previews" / f"step-{image.step:06d}-{tag.split('/')[1]}.png"
            assert image.encoded_image_string == file.read_bytes(), file
            pictures += 1
    assert pictures == len(list((run / "previews").glob("*.png"))), pictures
    print(f"{checked} scalars and {pictures} images are those of {run}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write"]:
            write()
        case ["read", run]:
            read(Path(run))
        case _:
            raise SystemExit(__doc__)
