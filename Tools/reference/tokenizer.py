"""Writes Tests/Fixtures/tokenizer.json: texts and their token ids, by transformers' CLIPTokenizer.

    python tokenizer.py MERGES      MERGES: CLIP's bpe merges (bpe_simple_vocab_16e6.txt), plain or gzipped

    groups.NAME.added_tokens        placeholders added after the vocabulary, in this order: ids V, V+1, ...
    groups.NAME.pad_id, vocabulary_size
    groups.NAME.cases[].text
    groups.NAME.cases[].ids         with <|startoftext|> and <|endoftext|>, neither padded nor truncated
    groups.NAME.cases[].openai_ids  where OpenAI's own tokenizer, which also resolves HTML entities (twice) and strips the ends,
                                    gives something else (its repair of broken encodings is left out)

The row of 77 that a model gets is `ids` and pad_id up to 77, or, of a longer text, the first 76 ids and <|endoftext|>.

    demo, clip                      the demo model's vocabulary, and CLIP's in full
    demo_toy, clip_toy              with `<toy>`, `<toy>_1`, `<My-Cat>` added
    demo_pad                        padding with "!" as in Stable Diffusion 2: as a special token "!" is then found as itself
"""
from __future__ import annotations

import argparse
import gzip
import html
import json
from pathlib import Path

import regex
from transformers import CLIPTokenizer

from common import FIXTURES, MODELS, demo_model, load_tokenizer

TEXTS = [
    "", " ", "a", "cat", "a photo of a cat", "A Photo of a CAT", "  leading and   inner \t tabs\nand\r\nlines  ", "a\u00a0no-break\u2003em space",
    "a checkered purple and yellow rocket on a orange background, outlined", "striped mushroom", "a painting in the style of monet",
    "it's", "they're we've I'm you'll he'd don't", "IT'S THEY'RE", "'s", "''", "cat's", "rock'n'roll", "it\u2019s", "'tis the season",
    "1", "12", "123 4567", "3.14", "1,000,000", "year2024", "2nd", "v1.5", "x2y3", "\u00bd \u2153", "\u0663\u0664", "\u2167 \u2460", "10%", "5\u00d77",
    "...", "!!!", "hello world!", "a,b;c:d", "(parentheses) [brackets] {braces}", "((emphasis:1.2))", "a-b_c", "__init__", "#hashtag @user",
    "e-mail: someone@example.org", "https://example.org/a?b=c&d=e", "C:\\path\\file.txt", "\"quoted\" 'single'", "a/b|c", "~`^$*+=<>",
    "caf\u00e9", "cafe\u0301", "na\u00efve r\u00e9sum\u00e9", "\u00c5ngstr\u00f6m", "A\u030angstro\u0308m", "Stra\u00dfe STRASSE", "\u0130stanbul", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03a3 \u039f\u0394\u039f\u03a3",
    "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "\u4f60\u597d\u4e16\u754c", "\u3053\u3093\u306b\u3061\u306f", "\uc548\ub155", "\u0645\u0631\u062d\u0628\u0627", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\ufb01ne", "\uff21\uff22\uff23\uff11",
    "\U0001f600", "a cat \U0001f408\u200d\u2b1b and \U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "\u2603 snowman \u2192 arrow", "\u201ccurly\u201d \u2014 dash\u2026",
    "zero\u200bwidth", "soft\u00adhyphen", "\ufeffbom", "control\u0007bell", "null\u0000byte", "del\u007f",
    "salt &amp; pepper", "&lt;toy&gt;", "&#39;quoted&#39;", "&amp;amp; twice", "&nbsp;", "&copy 2024", "AT&T",
    "<|startoftext|>", "a <|endoftext|> b", "<|ENDOFTEXT|>", "<|endoftext|>cat", "</w>", "cat</w>",
    "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "zzzz qqqq xkcd",
    "photo " * 75, "photo " * 76, "a very long prompt, " * 30, "x" * 300,
]
PLACEHOLDERS = ["<toy>", "<toy>_1", "<My-Cat>"]
PLACEHOLDER_TEXTS = [
    "<toy>", "a photo of <toy>", "a photo of <toy> <toy>_1", "<toy> and <toy>", "<toy>_1 <toy>", "a<toy>cat", "<toy>,", "the <toy>'s house", "<toy>_2",
    "<toy>_10", "<TOY>", "< toy >", "<toy", "toy>", "<<toy>>", "  <toy>  ", "<toy>\n<toy>_1", "<My-Cat>", "<my-cat> and <toy>", "my cat <My-Cat>!",
    "photo " * 74 + "<toy> <toy>_1", "photo " * 75 + "<toy>",
]
PATTERN = regex.compile(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)


def byte_symbols() -> dict[int, str]:
    """Every byte's printable stand-in, in the order of CLIP's vocabulary."""
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in visible]
    return {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(hidden)}


def full_vocabulary(merges: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    data = merges.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    pairs = [tuple(line.split()) for line in text.split("\n")[1:48_895]]
    symbols = list(byte_symbols().values())
    words = symbols + [s + "</w>" for s in symbols] + ["".join(pair) for pair in pairs] + ["<|startoftext|>", "<|endoftext|>"]
    assert len(words) == 49_408
    return {word: i for i, word in enumerate(words)}, pairs


def openai_ids(text: str, vocabulary: dict[str, int], rank: dict[tuple[str, str], int]) -> list[int]:
    symbols = byte_symbols()
    cleaned = " ".join(html.unescape(html.unescape(text)).split()).strip().lower()
    ids = [vocabulary["<|startoftext|>"]]
    for word in PATTERN.findall(cleaned):
        if word in ("<|startoftext|>", "<|endoftext|>"):
            ids.append(vocabulary[word])
            continue
        parts = [symbols[b] for b in word.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: rank.get((parts[i], parts[i + 1]), 1 << 30))
            if (parts[best], parts[best + 1]) not in rank:
                break
            pair, merged, i = (parts[best], parts[best + 1]), [], 0
            while i < len(parts):
                both = i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair
                merged.append(parts[i] + parts[i + 1] if both else parts[i])
                i += 2 if both else 1
            parts = merged
        ids += [vocabulary[part] for part in parts]
    return ids + [vocabulary["<|endoftext|>"]]


def group(tokenizer: CLIPTokenizer, texts: list[str], added: list[str] = [], openai=None) -> dict:
    if added:
        assert tokenizer.add_tokens(added) == len(added)
    end, cases = tokenizer.eos_token_id, []
    for text in texts:
        ids = tokenizer(text).input_ids
        row = tokenizer(text, padding="max_length", max_length=77, truncation=True).input_ids
        assert row == (ids + [tokenizer.pad_token_id] * (77 - len(ids)) if len(ids) <= 77 else ids[:76] + [end]), text
        case = {"text": text, "ids": ids}
        if openai and (other := openai_ids(text, *openai)) != ids:
            case["openai_ids"] = other
        cases.append(case)
    return {"added_tokens": added, "pad_id": tokenizer.pad_token_id, "vocabulary_size": len(tokenizer) - len(added), "cases": cases}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("merges", type=Path)
    vocabulary, pairs = full_vocabulary(parser.parse_args().merges)

    def clip() -> CLIPTokenizer:
        return CLIPTokenizer(vocab=vocabulary, merges=pairs, model_max_length=77)

    def demo() -> CLIPTokenizer:
        return load_tokenizer(demo_model())
    groups = {
        "demo": group(demo(), TEXTS), "clip": group(clip(), TEXTS, openai=(vocabulary, {pair: i for i, pair in enumerate(pairs)})),
        "demo_toy": group(demo(), PLACEHOLDER_TEXTS, PLACEHOLDERS), "clip_toy": group(clip(), PLACEHOLDER_TEXTS, PLACEHOLDERS),
        "demo_pad": group(load_tokenizer(MODELS / "tiny-sd2"), ["hello world!", "!", "a!b", "!!!", "a photo of a cat", "wow !"]),
    }
    path = FIXTURES / "tokenizer.json"
    lines = [f' {json.dumps(name)}: {{"added_tokens": {json.dumps(g["added_tokens"])}, "pad_id": {g["pad_id"]}, '
             f'"vocabulary_size": {g["vocabulary_size"]}, "cases": [\n  '
             + ",\n  ".join(json.dumps(case) for case in g["cases"]) + "]}" for name, g in groups.items()]
    path.write_text('{"script": "Tools/reference/tokenizer.py", "groups": {\n' + ",\n".join(lines) + "\n}}\n")
    for case in groups["clip"]["cases"]:
        if "openai_ids" in case:
            print("OpenAI's differs:", json.dumps(case["text"]))
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB, {sum(len(g['cases']) for g in groups.values())} cases")


if __name__ == "__main__":
    main()
