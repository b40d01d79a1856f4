"""Writes Tests/Fixtures/torch: files as torch.save writes them, and pickles that want to run something.

For every `NAME.pt` there is a tensor or several in `expected.safetensors`, named `NAME/KEY`, in float32.

- `state.pt`, `state-legacy.pt`: a state dictionary in f32, f16, bf16, f64, a transposed view, a slice that shares its storage, a scalar and an
  empty tensor, as a ZIP file and in the form before PyTorch 1.6.
- `webui.pt`: an embedding as AUTOMATIC1111's web UI saves it. `first.pt`: as the first textual inversion program saved it, a ParameterDict.
- `learned_embeds.bin`: as diffusers saves it; its vector has one axis.
- `hostile-*.pt`: what must be refused, by the name that the pickle wants to call; `bomb-*.pt`: small files that grow.
"""
import collections

import os
import pickle
import zipfile

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


def archive(name, data):
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/version", "3\n")


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
save(folder / "expected.safetensors", expected, "torch_files.py")
