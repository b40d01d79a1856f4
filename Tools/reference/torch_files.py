"""Writes Tests/Fixtures/torch: files as torch.save writes them, and pickles that want to run something.

For every `NAME.pt` there is a tensor or several in `expected.safetensors`, named `NAME/KEY`, in float32.

- `state.pt`, `state-legacy.pt`: a state dictionary in f32, f16, bf16, f64, a transposed view, a slice that shares its storage, a scalar and an
  empty tensor, as a ZIP file and in the form before PyTorch 1.6.
- `webui.pt`: an embedding as AUTOMATIC1111's web UI saves it. `first.pt`: as the first textual inversion program saved it, a ParameterDict.
- `learned_embeds.bin`: as diffusers saves it; its vector has one axis.
- `zip64.pt`: `webui.pt` with every size and place of its members in 64 bits.
- `hostile-*.pt`: what must be refused, by the name that the pickle wants to call; `bomb-*.pt`: small files that grow; `false-*.pt`: pickles and
  ZIP files that lie about sizes and places.
"""
import collections
import io
import os
import pickle
import struct
import zipfile

import numpy
import torch
from common import FIXTURES, save

folder = FIXTURES / "torch"
folder.mkdir(exist_ok=True)
generator = torch.Generator().manual_seed(11)
expected = {}


def draw(*shape):
    return torch.randn(*shape, generator=generator)


def keep(name, tensors):
    for key, tensor in tensors.items():
        expected[f"{name}/{key}"] = tensor.detach().float().contiguous().clone()


base = draw(4, 6)
state = collections.OrderedDict(
    f32=base, f16=draw(3, 5).half(), bf16=draw(3, 5).bfloat16(), f64=draw(2, 3).double(), transposed=draw(3, 4).t(), slice=base[1:3, 2:5],
    scalar=torch.tensor(2.5), empty=torch.zeros(0, 3), cube=draw(2, 3, 4).permute(2, 0, 1))
torch.save(state, folder / "state.pt")
torch.save(state, folder / "state-legacy.pt", _use_new_zipfile_serialization=False)
keep("state", state)

vectors = draw(2, 8)
torch.save(
    {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "toy", "step": 500, "sd_checkpoint": "81761151",
     "sd_checkpoint_name": "v1-5"}, folder / "webui.pt")
keep("webui", {"*": vectors})
parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors * 2)})
torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, folder / "first.pt")
keep("first", {"*": vectors * 2})
vector = draw(8)
torch.save({"<toy>": vector}, folder / "learned_embeds.bin")
keep("learned_embeds", {"<toy>": vector})


def put(file, name, data, **options):
    """Without the time of day."""
    file.writestr(zipfile.ZipInfo(name), data, **options)


def archive(name, data):
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED) as file:
        put(file, "archive/data.pkl", data)
        put(file, "archive/version", "3\n")


class Call:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


archive("hostile-system.pt", pickle.dumps({"a": Call(os.system, "echo hello")}, 2))
archive("hostile-eval.pt", pickle.dumps(Call(eval, "1"), 2))
archive("hostile-stack-global.pt", pickle.dumps(Call(os.system, "echo hello"), 4))
archive("hostile-getattr.pt", pickle.dumps(Call(getattr, "a", "upper"), 2))
archive("bomb-nested.pt", b"\x80\x02" + b"]" * 5_000 + b"a" * 4_999 + b".")
# A list of itself twice, again and again: two to the hundredth elements.
archive("bomb-shared.pt", b"\x80\x02]q\x00" + b"".join(b"(h%ch%ctq%c" % (i, i, i + 1) for i in range(100)) + b".")
# A dictionary that takes its own items as parameters, and so doubles.
archive(
    "bomb-doubling.pt",
    b"\x80\x02ctorch.nn.modules.container\nParameterDict\n)Rq\x00X\x01\x00\x00\x00aK\x01s" + b"}X\x0b\x00\x00\x00_parametersh\x00sb" * 64 + b".")
archive("bomb-cycle.pt", b"\x80\x02]q\x00h\x00a.")
archive("bomb-size.pt", b"\x80\x02\x8d" + b"\xff" * 7 + b"\x7fa.")
archive("bomb-long.pt", b"\x80\x02\x8b\xff\xff\xff\x7f1.")
archive("bomb-frame.pt", b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f]" + b"\x8c\xffa.")
# A tuple that holds itself, by way of a list; dictionaries made of dictionaries; parameters of parameters.
archive("bomb-tuple.pt", b"\x80\x02]q\x00(h\x00ta.")
archive("bomb-reduce.pt", b"\x80\x02ccollections\nOrderedDict\nq\x00" + b"]" * 3_000 + b"]h\x00" + b")R" + b"a" * 3_000 + b"a.")
archive("bomb-build.pt", b"\x80\x02" + b"ctorch.nn.modules.container\nParameterDict\n)R}X\x0b\x00\x00\x00_parameters}X\x01\x00\x00\x00a" * 300 + b"N" + b"ssb" * 300 + b".")
archive("bomb-marks.pt", b"\x80\x02" + b"(" * 20_000 + b".")

archive("hostile-getattr-4.pt", pickle.dumps(Call(getattr, "a", "upper"), 4))
archive("hostile-load.pt", pickle.dumps({"a": Call(torch.storage._load_from_bytes, b"\x80\x02}.")}, 2))
archive("hostile-numpy.pt", pickle.dumps({"a": numpy.zeros(3, numpy.float32)}, 2))
archive("hostile-inst.pt", b"\x80\x02(X\x01\x00\x00\x00aios\nsystem\n.")
archive("hostile-object.pt", b"\x80\x02(ccollections\nOrderedDict\no.")
archive("hostile-extension.pt", b"\x80\x02\x82\x01.")
# Objects made without a call; what is called is kept and fetched again, or stands beside sound weights.
archive("hostile-new.pt", b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00a\x85\x81.")
archive("hostile-new-4.pt", b"\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92.")
archive("hostile-memo.pt", b"\x80\x02X\x02\x00\x00\x00osq\x000X\x06\x00\x00\x00systemq\x010h\x00h\x01\x93X\x01\x00\x00\x00a\x85R.")
archive("hostile-reference.pt", b"\x80\x02X\x05\x00\x00\x00/etc/Q.")
archive("hostile-state.pt", b"\x80\x02ccollections\nOrderedDict\n)R(X\x09\x00\x00\x00__class__cos\nsystem\nub.")
archive("bomb-memo.pt", b"\x80\x02]" + b"r\xff\xff\xff\xff" * 10 + b"j\xfe\xff\xff\xff.")
archive("bomb-text.pt", b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.")
archive("bomb-bytes.pt", b"\x80\x05B\xff\xff\xff\xffa.")
archive("bomb-fetch.pt", b"\x80\x02]q\x00(" + b"h\x00" * 5_000 + b"e" + b"(" + b"h\x00" * 5_000 + b"t.")
archive("hostile-name.pt", b"\x80\x02cos\r\x1b[31m\nsystem" + b"m" * 500 + b"\n)R.")


def integer(number):
    size = (number.bit_length() + 8) // 8
    return b"\x8a" + bytes([size]) + number.to_bytes(size, "little", signed=True)


def view(offset, sizes, strides):
    """A pickle of {'a': a tensor} over a storage of four floats."""
    numbers = lambda values: b"(" + b"".join(map(integer, values)) + b"t"
    return (b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
            b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ" + integer(offset) + numbers(sizes) + numbers(strides)
            + b"\x89ccollections\nOrderedDict\n)RtRs.")


def members(name, pickled, *more, **options):
    with zipfile.ZipFile(folder / name, "w") as file:
        put(file, "archive/data.pkl", pickled, **options)
        for other in more or ["archive/data/0"]:
            put(file, other, b"\0" * 16)


sound = view(0, [1, 4], [4, 1])
members("false-offset.pt", view(2**62, [1, 4], [4, 1]))
members("false-far.pt", view(1, [1, 4], [4, 1]))
members("false-negative.pt", view(0, [-1, 4], [4, 1]))
members("false-negative-stride.pt", view(3, [1, 4], [4, -1]))
members("false-stride.pt", view(0, [3, 2], [2**62, 1]))
members("false-product.pt", view(0, [2**31, 2**31, 4], [0, 0, 0]))
members("false-repeated.pt", view(0, [1000, 4], [0, 1]))
members("false-wide.pt", view(0, [2**64, 4], [4, 1]))
members("false-storage.pt", sound, "archive/data/1")
members("false-axes.pt", view(0, [1] * 8 + [4], [1] * 9))
members("false-deflated.pt", sound, compress_type=zipfile.ZIP_DEFLATED)
with zipfile.ZipFile(folder / "false-twice.pt", "w") as file:
    put(file, "archive/data.pkl", sound)
    put(file, "archive/data/0", b"\0" * 16)
    put(file, "archive/data/1", b"\1" * 16)
data = (folder / "false-twice.pt").read_bytes()
(folder / "false-twice.pt").write_bytes(data.replace(b"archive/data/1", b"archive/data/0"))


def lie(name, change):
    """The sound file with its table of members, or its end, changed: `change` gets bytes, and where table and end begin."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        put(file, "archive/data.pkl", sound)
        put(file, "archive/data/0", b"\0" * 16)
    data = bytearray(stream.getvalue())
    end = data.rindex(b"PK\5\6")
    table, = struct.unpack_from("<I", data, end + 16)
    change(data, table, end)
    (folder / name).write_bytes(data)


def patch(format, place, *values):
    return lambda data, table, end: struct.pack_into(format, data, place(table, end), *values)


second = lambda table: table + 46 + len("archive/data.pkl")
# The storage's member begins where the pickle's does; is larger than the file; begins behind it.
lie("false-overlap.pt", patch("<I", lambda table, end: second(table) + 42, 0))
lie("false-large.pt", patch("<II", lambda table, end: second(table) + 20, 2**31, 2**31))
lie("false-place.pt", patch("<I", lambda table, end: second(table) + 42, 2**31))
# The table has more lines than there are; is as long as the file is not; begins outside; is a 64-bit one that is not there.
lie("false-count.pt", patch("<HH", lambda table, end: end + 8, 60_000, 60_000))
lie("false-table.pt", patch("<I", lambda table, end: end + 12, 2**32 - 2))
lie("false-table-place.pt", patch("<I", lambda table, end: end + 16, 2**31))
lie("false-wide-table.pt", patch("<I", lambda table, end: end + 16, 2**32 - 1))


def wide(data, table, end):
    """A 64-bit end that says the largest numbers there are."""
    data[end:end] = (struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 2, 2, 2**63 - 1, 2**63 - 1)
                     + struct.pack("<IIQI", 0x07064B50, 0, end, 1))
    struct.pack_into("<I", data, len(data) - 6, 2**32 - 1)


lie("false-wide-numbers.pt", wide)


def wide_member(data, table, end):
    """A member whose size stands in 64 bits, and is the largest that there is."""
    place = second(table) + 46 + len("archive/data/0")
    extra = struct.pack("<HHQQ", 1, 16, 2**63 - 1, 2**63 - 1)
    data[place:place] = extra
    struct.pack_into("<II", data, second(table) + 20, 2**32 - 1, 2**32 - 1)
    struct.pack_into("<H", data, second(table) + 30, len(extra))
    struct.pack_into("<I", data, end + len(extra) + 12, end - table + len(extra))


lie("false-wide-member.pt", wide_member)

# The layout before 1.6: hostile in each of its pickles, and storages that are larger than the file.
heads = [b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x02M\xe9\x03.", b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s."]
run = b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00a\x85R."
old = sound.replace(b"K\x04tQ", b"K\x04NtQ")
keys = b"\x80\x02]X\x01\x00\x00\x000a."
(folder / "hostile-legacy-machine.pt").write_bytes(b"".join(heads[:2]) + run + old + keys)
(folder / "hostile-legacy.pt").write_bytes(b"".join(heads) + run + keys)
(folder / "hostile-legacy-keys.pt").write_bytes(b"".join(heads) + old + run)
(folder / "false-legacy-count.pt").write_bytes(b"".join(heads) + old + keys + struct.pack("<Q", 2**62) + b"\0" * 16)
(folder / "false-legacy-end.pt").write_bytes(b"".join(heads) + old + keys + struct.pack("<Q", 4) + b"\0" * 8)
(folder / "false-legacy-keys.pt").write_bytes(b"".join(heads) + old + b"\x80\x02](" + b"X\x01\x00\x00\x001" * 1000 + b"e." + b"\0" * 8000)

# Sizes and places in 64 bits, where they would fit 32.
with zipfile.ZipFile(folder / "webui.pt") as file:
    contents = [(info.filename, file.read(info)) for info in file.infolist()]
data, table = bytearray(), bytearray()
for name, content in contents:
    extra = struct.pack("<HHQQQ", 1, 24, len(content), len(content), len(data))
    name = name.encode()
    table += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, 0, 0, 0, zipfile.crc32(content), 2**32 - 1, 2**32 - 1, len(name), len(extra), 0,
                         0, 0, 0, 2**32 - 1) + name + extra
    data += struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, 0, 0, 0, zipfile.crc32(content), 2**32 - 1, 2**32 - 1, len(name), 20) + name
    data += struct.pack("<HHQQ", 1, 16, len(content), len(content)) + content
end = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, len(contents), len(contents), len(table), len(data))
end += struct.pack("<IIQI", 0x07064B50, 0, len(data) + len(table), 1) + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
(folder / "zip64.pt").write_bytes(data + table + end)
assert torch.equal(torch.load(folder / "zip64.pt", weights_only=True)["string_to_param"]["*"], vectors)
keep("zip64", {"*": vectors})
save(folder / "expected.safetensors", expected, "torch_files.py")
