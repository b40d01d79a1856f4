#!/usr/bin/env python3
"""Damages model folders, models in one file, embeddings, PyTorch's files, cards, checkpoints, replay traces and pictures, and runs the program on each: it must
come to a result or to one line and an exit code of sysexits.h, in time and within memory.

    Tools/fuzz/damage.py .build/release/ti-gpu [--cases 5000] [--seed 0] [--kind KIND] [--only NUMBER --keep FOLDER]

Bytes are flipped, files cut or grown, numbers replaced, keys dropped, doubled or retyped, names of tensors exchanged, headers made to lie. A case is a function of seed,
kind and number, so `--only` makes it again. Exits with 1 after a signal, an exit code that is none of ours, a run over 10 s or an unclear line.
"""
import argparse
import array
import base64
import collections
import concurrent.futures
import json
import math
import pathlib
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests/Fixtures"
MODELS = ["tiny-sd1", "tiny-sd2", "tiny-odd", "tiny-deep"]
SINGLE = [*MODELS, "tiny-sdxl", "tiny-sdxl-v"]
KINDS = ["model", "embedding", "torch", "card", "checkpoint", "trace", "picture", "single-file"]
# Files of words by their ending.
WORDS = {"torch": [".pt", ".bin"], "card": [".png"]}
# A model in one file: safetensors, and torch.save's present and former layout.
ENDINGS = [".safetensors", ".ckpt", "-legacy.ckpt"]
# A result; usage, data, no input, no device, out of memory, can't create, input or output.
CODES = {0, 64, 65, 66, 69, 71, 73, 74}
NUMBERS = ["0", "-1", "1", "2147483648", "4611686018427387904", "9223372036854775807", "1e308", "1e400", "0.5", "-0.0", "NaN", "2", "65535"]
VALUES = [None, True, False, "", "text", [], {}, [1, [2]], {"a": 1}, 0, -1, 0.5, 2**31, 2**62, 2**63 - 1, 2**64, 1e308]
# Names of tensors in models of one file.
TENSORS = re.compile(rb"(?:model|first_stage_model|cond_stage_model|conditioner)\.[a-zA-Z0-9_.]+")
MEMORY = 4 << 30
SECONDS = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, help="of one kind alone")
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder)
        for model in MODELS:
            code, text = run(train(arguments.program, FIXTURES / "models" / model, FIXTURES / "images", base / model))
            if code != 0:
                sys.exit(f"the sound {model} does not train: {text}")
        for model in SINGLE:
            single_files(model, base / "single")
        if arguments.only is not None:
            print(case(arguments, base, arguments.only))
            return
        numbers = range(arguments.first, arguments.first + arguments.cases)
        codes, problems = collections.Counter(), 0
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for number, (kind, code, problem) in zip(numbers, pool.map(lambda number: case(arguments, base, number), numbers)):
                codes[kind, code] += 1
                if problem:
                    problems += 1
                    print(f"case {number}, {kind}: {problem}", flush=True)
    for kind in KINDS:
        print(kind + ":", ", ".join(f"{count} x {code}" for (name, code), count in sorted(codes.items(), key=str) if name == kind))
    print(f"{sum(codes.values())} cases, {problems} problems")
    sys.exit(1 if problems else 0)


def train(program, model, images, output, *more):
    return [program, "train", "--model", model, "--images", images, "--token", "<toy>", "--initializer", "cat", "--vectors", "2",
            "--steps", "1", "--resolution", "16", "--device", "cpu", "--output", output, *more]


def single_files(model, folder):
    """A model folder as one file in the original naming, by the plan of Tools/reference/single_file.py, in every layout."""
    folder.mkdir(exist_ok=True)
    stored = {}
    for path in (FIXTURES / "models" / model).glob("*/*.safetensors"):
        data = path.read_bytes()
        size, = struct.unpack("<Q", data[:8])
        for name, entry in json.loads(data[8:8 + size]).items():
            if name != "__metadata__" and entry["dtype"] in ("F32", "F16"):
                start, end = entry["data_offsets"]
                stored[f"{path.parent.name}/{name}"] = entry["dtype"], entry["shape"], data[8 + size + start:8 + size + end]
    tensors = {}
    for name, entry in json.loads((FIXTURES / "single_files" / f"{model}.json").read_text())["plan"].items():
        if any(source not in stored for source in entry["from"]):
            continue  # whole numbers, which no model needs
        dtype, shape, data = stored[entry["from"][0]] if entry["from"] else ("F32", [], struct.pack("<f", 1))
        if entry["as"] == "rows":
            shape, data = [len(entry["from"]) * shape[0], *shape[1:]], b"".join(stored[source][2] for source in entry["from"])
        elif entry["as"] == "transposed":
            numbers = array.array("I" if dtype == "F32" else "H", data)
            data, shape = array.array(numbers.typecode, [number for column in range(shape[1]) for number in numbers[column::shape[1]]]).tobytes(), shape[::-1]
        elif entry["as"] == "pixel":
            shape = [*shape, 1, 1]
        tensors[name] = dtype, shape, data
    header, end = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    datas = [data for _, _, data in tensors.values()]
    (folder / f"{model}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(datas))
    with zipfile.ZipFile(folder / f"{model}.ckpt", "w", zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", pickle(tensors, b""))
        for key, data in enumerate(datas):
            file.writestr(f"archive/data/{key}", data)
        file.writestr("archive/version", "3\n")
    heads = [b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", b"M\xe9\x03", b"}X\x0d\0\0\0little_endian\x88s"]
    keys = b"](" + b"".join(b"X" + struct.pack("<I", len(str(key))) + str(key).encode() for key in range(len(datas))) + b"e"
    sizes = {"F32": 4, "F16": 2}
    storages = b"".join(struct.pack("<Q", len(data) // sizes[dtype]) + data for dtype, _, data in tensors.values())
    (folder / f"{model}-legacy.ckpt").write_bytes(
        b"".join(b"\x80\x02" + head + b"." for head in heads) + pickle(tensors, b"N") + b"\x80\x02" + keys + b"." + storages)


def pickle(tensors, view):
    """What torch.save writes of a dictionary of tensors, each with a storage of its own; `view` stands last in a storage's name."""
    written = b"\x80\x02}X\x0a\0\0\0state_dict}("
    for key, (name, (dtype, shape, _)) in enumerate(tensors.items()):
        texts = [b"X" + struct.pack("<I", len(text)) + text for text in (name.encode(), b"storage", str(key).encode(), b"cpu")]
        strides = [math.prod(shape[axis + 1:]) for axis in range(len(shape))]
        count, sizes, steps = [b"".join(b"J" + struct.pack("<i", number) for number in numbers) for numbers in ([math.prod(shape)], shape, strides)]
        kind = b"ctorch\n%sStorage\n" % (b"Float" if dtype == "F32" else b"Half")
        written += (texts[0] + b"ctorch._utils\n_rebuild_tensor_v2\n((" + texts[1] + kind + texts[2] + texts[3] + count + view
                    + b"tQK\0(" + sizes + b"t(" + steps + b"t\x89ccollections\nOrderedDict\n)RtR")
    return written + b"us."


def case(arguments, base, number):
    """Makes a case and runs it: its kind, the exit code, and what is wrong with how it ended."""
    draw = random.Random(f"{arguments.seed} {number}")
    kind = arguments.kind or KINDS[number % len(KINDS)]
    with tempfile.TemporaryDirectory(dir=base) as folder:
        folder = pathlib.Path(folder)
        name = draw.choice(MODELS)
        model, output = FIXTURES / "models" / name, folder / "out"
        generate = [arguments.program, "generate", "--prompt", "a <toy>", "--steps", "2", "--device", "cpu", "--output", folder / "a.png",
                    "--sampler", draw.choice(["ddim", "euler", "dpm++2m"])]
        if kind == "model":
            shutil.copytree(model, folder / "model", ignore=shutil.ignore_patterns("outputs*", "replay*"))
            damaged = sorted(path for path in (folder / "model").rglob("*") if path.is_file())
            words = generate + ["--model", folder / "model"]
            if draw.random() < 0.4:
                words = train(arguments.program, folder / "model", FIXTURES / "images", output)
        elif kind == "embedding":
            shutil.copy(base / name / "learned_embeds.safetensors", folder / "word.safetensors")
            damaged = [folder / "word.safetensors"]
            words = generate + ["--model", model, "--embedding", damaged[0]]
        elif kind in WORDS:
            files = [path for path in sorted((FIXTURES / "embeddings").iterdir()) if path.suffix in WORDS[kind]]
            damaged = [pathlib.Path(shutil.copy(draw.choice(files), folder))]
            words = draw.choice([
                generate + ["--model", model, "--embedding", damaged[0]], [arguments.program, "inspect", damaged[0], "--model", model],
                [arguments.program, "convert", damaged[0], folder / draw.choice(["a.safetensors", "a.pt", "a.bin", "a.png"])]])
        elif kind == "single-file":
            name = draw.choice(SINGLE)
            damaged = [pathlib.Path(shutil.copy(base / "single" / f"{name}{draw.choice(ENDINGS)}", folder))]
            model = FIXTURES / "models" / name
            words = draw.choice([
                generate + ["--model", damaged[0], "--config", model], generate + ["--model", damaged[0]],
                generate + ["--model", model, "--vae", damaged[0]], [arguments.program, "inspect", damaged[0]],
                [arguments.program, "inspect", damaged[0], "--json"],
                train(arguments.program, damaged[0], FIXTURES / "images", output, "--config", model)])
        elif kind == "checkpoint":
            shutil.copytree(base / name, folder / "run")
            damaged = [*sorted((folder / "run/checkpoints").iterdir()), folder / "run/training.json", folder / "run/metrics.csv"]
            words = [arguments.program, "train", "--resume", folder / "run", "--steps", "2"]
        elif kind == "trace":
            shutil.copy(model / "replay.safetensors", folder / "trace.safetensors")
            damaged = [folder / "trace.safetensors"]
            words = [arguments.program, "train", "--model", model, "--replay", damaged[0], "--token", "<toy>", "--device", "cpu",
                     "--output", output]
        else:
            (folder / "images").mkdir()
            damaged = [path for path in sorted((FIXTURES / "images").iterdir()) if path.suffix in (".png", ".jpg", ".webp")]
            damaged = [pathlib.Path(shutil.copy(path, folder / "images")) for path in draw.sample(damaged, 2)]
            words = train(arguments.program, model, folder / "images", output)
        for path in draw.sample(damaged, min(len(damaged), draw.choice([1, 1, 1, 2]))):
            damage(draw, path)
        if arguments.keep:
            shutil.copytree(folder, arguments.keep / str(number))
        code, text = run(words)
        return (kind, code, problem(code, text))


def run(words):
    """The exit code, 'time' where it never came, and standard error."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    try:
        done = subprocess.run(list(map(str, words)), capture_output=True, timeout=SECONDS, preexec_fn=limit, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "time", ""
    return done.returncode, done.stderr.decode("utf-8", "replace")


def problem(code, text):
    if code not in CODES:
        return f"exit code {code}: {text.strip()[-600:]}"
    errors = [line for line in text.split("\n") if line.startswith("ti-gpu: ") and not line.startswith("ti-gpu: warning: ")]
    if code != 0 and (len(errors) != 1 or len(errors[0]) > 1200):
        return f"exit code {code} with {len(errors)} lines of error: {text.strip()[-600:]}"
    if any(ord(character) < 32 for line in text.split("\n") for character in line):
        return f"control characters on the terminal: {text[-600:]!r}"
    return None


def damage(draw, path):
    """Damages a file in place, in a way that its kind makes likely to get far."""
    data = path.read_bytes()
    ways = [flip, flip, cut, grow, splice]
    if path.suffix == ".json":
        ways = [retype, retype, drop, number, number, number, flip, cut]
    elif path.suffix in (".pt", ".bin", ".ckpt"):
        ways = [pickled, pickled, pickled, numbered, exchanged, flip, flip, cut, grow, splice]
    elif path.suffix == ".png" and draw.random() < 0.7:
        ways = [text, flip, flip, cut]
    elif path.suffix == ".safetensors":
        ways = [header(retype), header(drop), header(number), header(number), header(flip), header(swap), length, nonfinite, flip, cut, grow]
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        try:
            data = draw.choice(ways)(draw, data)
        except (ValueError, struct.error, RecursionError):  # too damaged for this way
            data = flip(draw, data)
    path.write_bytes(data)


def flip(draw, data):
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8, 64])):
        if data:
            # Headers are where the numbers are.
            index = draw.randrange(len(data)) if draw.random() < 0.5 else draw.randrange(min(len(data), 512))
            data[index] = draw.choice([data[index] ^ 1 << draw.randrange(8), 0, 255, draw.randrange(256)])
    return bytes(data)


def cut(draw, data):
    return data[:draw.choice([0, 1, 8, draw.randrange(len(data) + 1), max(0, len(data) - 1)])]


def grow(draw, data):
    return data + draw.choice([b"\0", b"\0" * 4096, b"{}", data[:100]])


def splice(draw, data):
    start, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[end:] if draw.random() < 0.5 else data[:end] + data[start:]


def length(draw, data):
    lie = draw.choice([0, 1, 7, 2**31, 2**32, 2**62, 2**63 - 1, 2**64 - 1, 100_000_000, 100_000_001, len(data) - 8, len(data) - 7])
    return struct.pack("<Q", lie) + data[8:]


def nonfinite(draw, data):
    size, = struct.unpack("<Q", data[:8])
    if size + 12 > len(data):
        return data
    at = 8 + size + 4 * draw.randrange((len(data) - 8 - size) // 4)
    return data[:at] + draw.choice([b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\1\0\0\0"]) + data[at + 4:]


def pickled(draw, data):
    """Changes bytes of the pickles, where they are: opcodes, numbers and lengths."""
    start = max(data.find(b"\x80\x02"), 0)
    end = data.find(b"PK", start) if data.startswith(b"PK") else len(data)
    if not start < end <= len(data):
        return flip(draw, data)
    damaged = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4])):
        damaged[draw.randrange(start, end)] = draw.choice(b".(]})}aseuQRb0KJMX\x8a\x85\x86qhrj\x00\x01\xff")
    return bytes(damaged)


def numbered(draw, data):
    """Changes a number of the pickles, such as an axis or the size of a storage, to one that lies."""
    places = [match.start() for match in re.finditer(rb"J..\0\0|J\xff\xff\xff\xff", data, re.DOTALL)]
    if not places:
        return flip(draw, data)
    place = draw.choice(places)
    return data[:place + 1] + struct.pack("<i", draw.choice([0, 1, -1, 2**31 - 1, -2**31, 65536, 3])) + data[place + 5:]


def exchanged(draw, data):
    """Exchanges two names of tensors of one length, or makes two of one."""
    names = list(dict.fromkeys(TENSORS.findall(data)))
    name = draw.choice(names) if names else b""
    others = [other for other in names if len(other) == len(name) and other != name]
    if not others:
        return flip(draw, data)
    other = draw.choice(others)
    if draw.random() < 0.5:
        return data.replace(name, other)
    spare = b"\0" * len(name)
    return data.replace(name, spare, 1).replace(other, name, 1).replace(spare, other, 1)


def text(draw, data):
    """Damages the text of a card, if it is a plain one, and lets length and checksum fit again."""
    start = data.find(b"tEXt")
    if start < 4:
        return flip(draw, data)
    size, = struct.unpack(">I", data[start - 4:start])
    key, _, value = data[start + 4:start + 4 + size].partition(b"\0")
    way = draw.choice([retype, drop, number, flip])
    value = base64.b64encode(way(draw, base64.b64decode(value)))
    chunk = b"tEXt" + key + b"\0" + value
    return (data[:start - 4] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[start + 8 + size:])


def swap(draw, data):
    """Exchanges what a header says of two tensors."""
    document = json.loads(data)
    names = [name for name in document if name != "__metadata__"]
    if len(names) < 2:
        raise ValueError
    one, other = draw.sample(names, 2)
    if draw.random() < 0.5:
        document[one], document[other] = document[other], document[one]
    else:  # the same bytes under both names
        document[one] = document[other]
    return json.dumps(document).encode()


def header(way):
    """Damages a safetensors file's header, and lets the length before it fit again."""
    def damaged(draw, data):
        size, = struct.unpack("<Q", data[:8])
        if size > len(data) - 8:
            return flip(draw, data)
        text = way(draw, data[8:8 + size])
        return struct.pack("<Q", len(text)) + text + data[8 + size:]
    return damaged


def containers(value):
    """Every object and list in a document."""
    found = []
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, (dict, list)) and value:
            found.append(value)
            todo += value.values() if isinstance(value, dict) else value
    return found


def place(draw, document):
    """A random object or list that is not empty, and a key of it."""
    found = containers(document)
    if not found:
        raise ValueError
    container = draw.choice(found)
    return container, draw.choice(list(container) if isinstance(container, dict) else range(len(container)))


def retype(draw, data):
    document = json.loads(data)
    container, key = place(draw, document)
    # Settings that stand in metadata are JSON within JSON.
    if isinstance(container[key], str) and container[key][:1] in ("{", "[") and draw.random() < 0.8:
        container[key] = retype(draw, container[key].encode()).decode()
    else:
        container[key] = draw.choice(VALUES)
    return json.dumps(document).encode()


def drop(draw, data):
    document = json.loads(data)
    container, key = place(draw, document)
    if isinstance(container, list) and draw.random() < 0.5:
        container += container[key:]
    else:
        del container[key]
    return json.dumps(document).encode()


def number(draw, data):
    """Replaces one number, wherever it stands, text that holds one included."""
    text = data.decode("utf-8")
    starts = [index for index, character in enumerate(text) if character.isdigit() and not (index and text[index - 1] in "0123456789.e-+")]
    if not starts:
        raise ValueError
    start = end = draw.choice(starts)
    while end < len(text) and text[end] in "0123456789.e-+":
        end += 1
    return (text[:start] + draw.choice(NUMBERS) + text[end:]).encode()


if __name__ == "__main__":
    main()
