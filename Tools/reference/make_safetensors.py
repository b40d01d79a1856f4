"""Small safetensors files, written by the format's own library, for Tests/ModelFilesTests.

Run from the repository's root with torch and safetensors installed:

    python Tools/reference/make_safetensors.py
"""

import os

import torch
from safetensors.torch import save_file

FOLDER = "Tests/Fixtures/safetensors"


def main():
    os.makedirs(FOLDER, exist_ok=True)

    # The file that diffusers' textual inversion script writes.
    rows = (torch.arange(10, dtype=torch.float32).reshape(2, 5) - 4) / 3
    save_file({"<toy>": rows}, f"{FOLDER}/embedding.safetensors", metadata={"format": "pt"})

    # Names whose order and escapes a writer can get wrong.
    names = ["b", "a.10", "a.9", "B", "é", 'quote"back\\slash', "tab\tnew\nline\x01", "𝕏", "zero"]
    tensors = {name: torch.full((index % 3 + 1, 2), index / 7) for index, name in enumerate(names)}
    tensors["zero"] = torch.zeros(3, 0)
    tensors["scalar"] = torch.tensor(2.5)
    save_file(tensors, f"{FOLDER}/names.safetensors", metadata={"format": "pt"})

    # Every type that is read; values that each can hold, so that the same list is right for all floats.
    floats = torch.tensor([0.0, -0.0, 1.0, -1.5, 0.15625, 256.0, -65280.0, float("inf"), 2.0**-14, -(2.0**-20)])
    integers = torch.tensor([0, 1, 2, 100, 127])
    save_file(
        {
            "F64": floats.double(),
            "F32": floats,
            "F16": floats.half(),
            "BF16": floats.bfloat16(),
            "I64": torch.tensor([-(2**63), -1, 0, 1, 2**63 - 1]),
            "I32": torch.tensor([-(2**31), -1, 0, 1, 2**31 - 1], dtype=torch.int32),
            "I16": torch.tensor([-(2**15), -1, 0, 1, 2**15 - 1], dtype=torch.int16),
            "I8": torch.tensor([-128, -1, 0, 1, 127], dtype=torch.int8),
            "U8": torch.tensor([0, 1, 127, 128, 255], dtype=torch.uint8),
            "BOOL": integers > 1,
        },
        f"{FOLDER}/types.safetensors",
    )

    # Floats and what PyTorch rounds them to.
    torch.manual_seed(0)
    bits = torch.randint(-(2**31), 2**31 - 1, (1000,), dtype=torch.int64).to(torch.int32)
    edges = torch.tensor(
        [65504.0, 65519.0, 65520.0, 1e-8, 2.0**-25, 2.0**-25 * 1.0001, 3 * 2.0**-25, 2.0**-14, 2.0**-14 - 2.0**-26, 1 + 2.0**-11,
         1 + 3 * 2.0**-11, 1 + 2.0**-9, 3.4e38, float("inf"), float("-inf"), -0.0]
    )
    values = torch.cat([bits.view(torch.float32), edges, torch.randn(1000), torch.randn(1000) * 1e-5])
    values = values[~values.isnan()]
    save_file(
        {"values": values, "f16": values.half(), "bf16": values.bfloat16()},
        f"{FOLDER}/rounding.safetensors",
        metadata={"script": "Tools/reference/make_safetensors.py"},
    )


if __name__ == "__main__":
    main()
