"""Inputs that the fuzz targets start from: real files, made small where a format can be."""
import io
import json
import math
import pathlib
import struct
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests/Fixtures"
MODELS = [*sorted((FIXTURES / "models").iterdir()), ROOT / "Sources/DemoModel/Resources/model"]
LARGEST = 16_384


def of(target):
    """(name, bytes) of each seed."""
    return [(name, data) for name, data in globals()[target.replace("-", "_")]() if len(data) <= LARGEST]


def files(folder, *endings):
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in endings:
            yield "-".join(path.relative_to(folder).parts), path.read_bytes()


def lines(data):
    """A safetensors file as the targets take it: its header's line, and the data."""
    length, = struct.unpack("<Q", data[:8].ljust(8, b"\0"))
    if length <= len(data) - 8:
        yield data[8:8 + length].strip() + b"\n" + data[8 + length:]


def made(tensors, metadata):
    """A safetensors file of zeros, as the targets take it."""
    header, end = {"__metadata__": metadata}, 0
    for name, (word, size, shape) in tensors.items():
        start, end = end, end + size * math.prod(shape)
        header[name] = {"dtype": word, "shape": shape, "data_offsets": [start, end]}
    return json.dumps(header).encode() + b"\n" + bytes(end)


def safetensors():
    for name, data in files(FIXTURES, ".safetensors"):
        yield name, data
        for line in lines(data):
            yield name + ".line", line
            yield name + ".header", line[:line.index(b"\n")]


def torch():
    for folder in (FIXTURES / "torch", FIXTURES / "embeddings"):
        yield from files(folder, ".pt", ".bin")


def pickle():
    for name, data in torch():
        yield name, data
        if data.startswith(b"PK") and not name.startswith("false-"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                yield from ((name + ".pkl", archive.read(member)) for member in archive.namelist() if member.endswith("data.pkl"))


def configuration():
    for model in MODELS:
        for name, data in files(model, ".json"):
            yield f"{model.name}-{name}", data
    for line in lines((FIXTURES / "scheduler_configurations.safetensors").read_bytes()):
        for name, text in json.loads(line[:line.index(b"\n")])["__metadata__"].items():
            yield "scheduler-" + name.replace("/", "-"), text.encode()
    yield "training.json", json.dumps(report()).encode()
    yield "index.json", b'{"metadata":{"total_size":8},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}'


def tokenizer():
    for model in MODELS:
        folder = model / "tokenizer"
        text = b"a photo of <toy>, 's caf\xc3\xa9 12\n"
        for path in sorted(folder.iterdir()):
            text += b"@@ " + path.name.encode() + b"\n" + path.read_bytes() + b"\n"
        yield model.name, text
    # Small enough to be turned over quickly.
    pieces = ["a", "b", "c", "a</w>", "b</w>", "c</w>", "ab", "bc</w>", "abc</w>", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = json.dumps({piece: number for number, piece in enumerate(pieces)}).encode()
    merges = b"#version: 0.2\na b\nb c</w>\na bc</w>\n"
    configuration = b'{"model_max_length": 77, "pad_token": "!", "added_tokens_decoder": {"11": {"content": "!", "normalized": false}}}\n'
    yield "pair", b"abc ! aab\n@@ vocab.json\n" + vocabulary + b"\n@@ merges.txt\n" + merges + b"@@ tokenizer_config.json\n" + configuration
    yield "added", (b"abc <toy> <toy>_1\n@@ vocab.json\n" + vocabulary + b"\n@@ merges.txt\n" + merges
                    + b'@@ added_tokens.json\n{"<toy>": 11, "<toy>_1": 12}\n@@ special_tokens_map.json\n{"pad_token": {"content": "c"}}\n')
    combined = {"model": {"type": "BPE", "vocab": json.loads(vocabulary), "merges": ["a b", ["b", "c</w>"], "a bc</w>"]},
                "added_tokens": [{"id": 11, "content": "<toy>", "normalized": True}]}
    yield "combined", b"abc <toy>\n@@ tokenizer.json\n" + json.dumps(combined).encode()


def settings():
    return {"placeholder": {"word": "<toy>", "vectors": 1}, "initializer": "cat", "kind": "object", "method": "plain", "steps": 10, "batchSize": 1,
            "accumulation": 1, "learningRate": 0.005, "schedule": "constant", "warmupSteps": 0, "resolution": 64, "fitting": "crop",
            "flips": False, "seed": 0, "precision": "f32",
            "optimizer": {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.01}}


def report():
    """What a run writes of itself; its keys are written with underscores."""
    return {"version": 2, "settings": settings(), "templates": ["a {}"], "model": "demo", "pictures": "demo:my-cat", "deviceChoice": "cpu",
            "checkpointEvery": 5, "keepCheckpoints": 3, "state": "stopped", "warnings": [], "fingerprint": {"model": {}, "pictures": {}},
            "skippedPictures": [], "stepsDone": 5, "finalLoss": 0.1, "peakBytes": 1, "seconds": 1.5}


def checkpoint():
    for metadata, names in [
        ({"version": "2", "optimizer": json.dumps({"name": "adamw", "scalars": {}})},
         ["rows.text_encoder.<toy>", "optimizer.first_moment", "optimizer.second_moment"]),
        ({}, ["rows", "first_moment", "second_moment"]),
    ]:
        metadata |= {"settings": json.dumps(settings()), "fingerprint": json.dumps({"model": {"a": "0"}, "pictures": {"b": "1"}}), "step": "5",
                     "loss_scale": json.dumps({"value": 1, "goodSteps": 0, "adapts": False})}
        yield f"version-{metadata.get('version', '1')}", made({name: ("F32", 4, [1, 4]) for name in names}, metadata)


def trace():
    for entries, results in [(1, False), (2, True)]:
        tensors = {"latents": ("F32", 4, [entries, 1, 4, 1, 1]), "noise": ("F32", 4, [entries, 1, 4, 1, 1]), "timesteps": ("I64", 8, [entries, 1]),
                   "input_ids": ("I64", 8, [entries, 1, 8]), "initial_embedding": ("F32", 4, [1, 4])}
        if results:
            tensors |= {"losses": ("F32", 4, [entries]), "gradients": ("F32", 4, [entries, 1, 4]), "embeddings": ("F32", 4, [entries, 1, 4])}
        metadata = {"accumulation": str(entries), "learning_rate": "5e-4", "adam_beta1": "0.9", "weight_decay": "0"}
        yield str(entries), made(tensors, metadata)
        second = {f"{name}_2": tensor for name, tensor in tensors.items() if name in ("input_ids", "initial_embedding", "gradients", "embeddings")}
        yield f"{entries}-of-two", made(tensors | second | {"time_ids": ("F32", 4, [entries, 1, 6])}, metadata | {"pooling": "end-of-text"})


def picture():
    return files(FIXTURES / "images", ".png", ".jpg", ".webp")


def card():
    return files(FIXTURES / "embeddings", ".png")


def single_file():
    """Headers of whole models in one file, of the first blocks alone; all but the smallest tensors have an axis of nothing."""
    for path in sorted((FIXTURES / "single_files").glob("*.json")):
        shapes = {}
        for component in sorted((FIXTURES / "models" / path.stem).iterdir()):
            for file in component.glob("*.safetensors") if component.is_dir() else []:
                with file.open("rb") as stream:
                    length, = struct.unpack("<Q", stream.read(8))
                    shapes |= {f"{component.name}/{name}": entry.get("shape") for name, entry in json.loads(stream.read(length)).items()}
        tensors = {}
        for name, origin in json.loads(path.read_text())["plan"].items():
            shape = list(shapes.get(*origin["from"][:1] or [""]) or [])
            if any(part.isdigit() and int(part) > 3 for part in name.split(".")) or name.count(".") > 8:
                continue
            if math.prod(shape) > 64 and shape:
                shape[-1 if len(shape) < 4 else 2] = 0
            tensors[name] = ("F8_E4M3", 1, shape)
            if sum(map(len, tensors)) > 6_000:
                break
        yield path.stem, made(tensors, {"modelspec.prediction_type": "v"})
