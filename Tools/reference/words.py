"""Writes Tests/Fixtures/words.json: the whole words of vocabularies, by transformers' tokenizer.

A whole word is a piece that ends one, of two lower-case letters of ASCII or more, which the tokenizer reads as that one token. For each
vocabulary (CLIP's, the demo model's): how many there are, SHA-256 of `word token` lines in the order of their tokens, and the first and
last few.
"""
import hashlib
import json
import re
import tempfile
from pathlib import Path

from common import FIXTURES, demo_model, load_tokenizer
from tokenizer import clip
from transformers import CLIPTokenizer


def words(tokenizer: CLIPTokenizer) -> list[tuple[str, int]]:
    found = []
    for piece, token in tokenizer.get_vocab().items():
        match = re.fullmatch(r"([a-z]{2,})</w>", piece)
        if match and tokenizer.encode(match[1], add_special_tokens=False) == [token]:
            found.append((match[1], token))
    return sorted(found, key=lambda entry: entry[1])


result = {"script": "Tools/reference/words.py"}
with tempfile.TemporaryDirectory() as scratch:
    tokenizers = {"demo": load_tokenizer(demo_model()), "clip": clip(Path(scratch) / "clip", "<|endoftext|>")}
for name, tokenizer in tokenizers.items():
    found = words(tokenizer)
    text = "".join(f"{word} {token}\n" for word, token in found)
    result[name] = {"count": len(found), "sha256": hashlib.sha256(text.encode()).hexdigest(),
                    "ends": [word for word, _ in found[:3] + found[-3:]]}
(FIXTURES / "words.json").write_text(json.dumps(result, indent=1) + "\n")
print(json.dumps(result, indent=1))
