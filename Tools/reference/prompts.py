"""Writes Tests/Fixtures/prompts.json, prompts.safetensors and demo/ddim30-weighted.png: what prompts with weights and breaks mean.

    python Tools/reference/prompts.py

The rules are AUTOMATIC1111's web UI's, as its documentation and behaviour state them, in an independent reading:

- A prompt is a row of marks. `\\` with one of `( ) [ ] \\` behind it is that sign, `\\` alone is nothing. `(` and `[` open.
  `)` and `]` close the innermost open bracket of their kind, whatever stands between, and are signs where none is open. `: NUMBER )`
  closes a round bracket with that weight and is text where none is open. All else is text, in which `BREAK` as a word of its own,
  with the white space beside it, is a break.
- What a round bracket holds is multiplied by 1.1 or its number, what a square bracket holds by 1/1.1, when it closes; what is still
  open at the end closes there, round ones first, from the outside in. Neighbours of one weight are one text.
- Each text is cut into tokens by itself. 75 tokens fill a chunk. A token for which the chunk has no place begins the next; where the
  last comma stands among the chunk's last 20 tokens and the token is no comma, all behind that comma goes with it. A break ends a
  chunk, and so does a learned word that does not fit whole.
- The context of a chunk is multiplied place by place, then as a whole so that its mean is what it was. Chunks stand one behind the
  other.

`cases` holds texts and their parts, `[text, weight]` or null for a break; the examples of the web UI's documentation are among them.
`chunks` holds texts and their chunks with CLIP's vocabulary, to which the words `added` are known, of so many rows: the tokens before
the end, and runs of weights. `prompts.safetensors` has for a prompt with chunks and weights on tiny-sd1 the token numbers, the
weights, the context without them and the context with them, by PyTorch in double precision.

`xl.context` and `xl.pooled` are those of tiny-sdxl for the prompts `picture` and `negative`: each encoder's penultimate context
weighted by itself, side by side, and the pooled text of the first chunks; of the context only the picture's is kept.

`demo/ddim30-weighted.png` is what diffusers draws with the demo model from such contexts, `picture` and `negative` in the metadata
being the prompts, and from the latents of generate.py: DDIM, 30 steps, guidance 7.5. A prompt of fewer chunks is followed by
empty ones.
"""

import json
import random
import re
import tempfile
from pathlib import Path

import torch
from common import FIXTURES, MODELS, demo_model, load_text_encoder, load_tokenizer, save
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file
from tokenizer import clip
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

PLACES = 75
MARK = re.compile(r"(?P<escape>\\[()\[\]\\]?)|(?P<open>[(\[])|:\s*(?P<number>[+-]?[.\d]+)\s*\)|(?P<close>[)\]])|(?P<text>[^\\()\[\]:]+|:)")

# From the web UI's documentation of its parser.
DOCUMENTED = {
    "normal text": [["normal text", 1.0]],
    "an (important) word": [["an ", 1.0], ["important", 1.1], [" word", 1.0]],
    "(unbalanced": [["unbalanced", 1.1]],
    "\\(literal\\]": [["(literal]", 1.0]],
    "(unnecessary)(parens)": [["unnecessaryparens", 1.1]],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        ["a ", 1.0], ["house", 1.5730000000000004], [" ", 1.1], ["on", 1.0], [" a ", 1.1], ["hill", 0.55], [", sun, ", 1.1], ["sky", 1.4641000000000006],
        [".", 1.1]],
}
TEXTS = [
    "", " ", "a cat", "(a cat:1.2)", "(a cat: 1.2 )", "(a:+.5)(b:-1)", "[a]", "[[a]]", "[a:0.5]", "(a:1.2:1.3)", "(a:b:1.3)", "a:1.2)", "((a:1.2)", "a) b",
    "a] b", ":)", "(:", "(a\\)b)", "\\\\(a)", "a\\b", "\\", "a BREAK b", "aBREAK b", "BREAK", "BREAK BREAK", "a  BREAK\nb BREAK", "BREAKa BREAK_ BREAK-",
    "a BREAK (b:1.5) BREAK c", "([a)]", "([a]b)c", "[(a]b)c", "(((a", "[[[a", "((a) [b", "(a, b), c", "()", "[]", "(:1.2)", "\u00e9(\u732b:0.9)\U0001f600",
    "(x:10)(y:0)(z:007)", "break (a) Break", "a (b) BREAK", "(a)BREAK(b)",
]


def parse(prompt: str) -> list:
    """The parts of a prompt: `[text, weight]`, or None for a break."""
    parts: list = []
    open_at: dict[str, list[int]] = {"(": [], "[": []}

    def weigh(kind: str, weight: float) -> None:
        for part in parts[open_at[kind].pop():]:
            if part is not None:
                part[1] *= weight

    for mark in MARK.finditer(prompt):
        whole, kind = mark.group(), mark.lastgroup
        if kind == "escape":
            parts.append([whole[1:], 1.0])
        elif kind == "open":
            open_at[whole].append(len(parts))
        elif kind == "number" and open_at["("]:
            weigh("(", float(mark["number"]))
        elif kind == "close" and open_at["(" if whole == ")" else "["]:
            weigh(*(("(", 1.1) if whole == ")" else ("[", 1 / 1.1)))
        else:
            for index, text in enumerate(re.split(r"\s*\bBREAK\b\s*", whole)):
                parts += ([None] if index else []) + [[text, 1.0]]
    for kind, weight in (("(", 1.1), ("[", 1 / 1.1)):
        for start in open_at[kind]:
            for part in parts[start:]:
                if part is not None:
                    part[1] *= weight
    merged: list = []
    for part in parts or [["", 1.0]]:
        if part is not None and merged and merged[-1] is not None and merged[-1][1] == part[1]:
            merged[-1][0] += part[0]
        else:
            merged.append(part and list(part))
    return merged


def is_comparable(parts: list, prompt: str) -> bool:
    """Whether the web UI reads the prompt as well: it fails where a weight is no number."""
    return all(number.count(".") < 2 and number.strip("+-.") for number in re.findall(r":\s*([+-]?[.\d]+)\s*\)", prompt))


def chunks(parts: list, tokenizer, rows: dict[str, int]) -> list[tuple[list[int], list[float]]]:
    """The tokens and weights of each chunk, without start and end."""
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    first = {tokenizer.convert_tokens_to_ids(word): count for word, count in rows.items()}
    finished: list[tuple[list[int], list[float]]] = []
    current: list[tuple[int, float]] = []
    last_comma = None

    def finish(count: int) -> None:
        nonlocal current, last_comma
        finished.append(([i for i, _ in current[:count]], [w for _, w in current[:count]]))
        current, last_comma = current[count:], None

    for part in parts:
        if part is None:
            finish(len(current))
            continue
        for token in tokenizer(part[0], add_special_tokens=False)["input_ids"]:
            unit = list(range(token, token + first.get(token, 1)))
            if len(current) == PLACES and token != comma and last_comma is not None and PLACES - last_comma <= 20:
                finish(last_comma + 1)
            if token == comma and len(current) < PLACES:
                last_comma = len(current)
            if len(current) + len(unit) > PLACES:
                finish(len(current))
            current += [(each, part[1]) for each in unit]
    if current or not finished:
        finish(len(current))
    return finished


def random_prompt(source: random.Random) -> str:
    pieces = ["a", "cat", " ", " ", ", ", "(", "(", ")", ")", "[", "]", ":1.2)", ":0.8)", ": .5 )", ":", "\\", "\\(", "\\)", "BREAK", " BREAK ", "1.5", "\u732b"]
    return "".join(source.choice(pieces) for _ in range(source.randint(1, 18)))


def chunk_texts(source: random.Random, words: list[str]) -> list[str]:
    nouns = "cat dog castle rocket painting forest river mountain of with under bright tiny old street light".split()
    texts = ["", "a cat", "a BREAK b", "BREAK", "BREAK a", "a BREAK BREAK b", "cat " * 75, "cat " * 76, "cat " * 150, "cat " * 151]
    # A comma at each place round the one from which it ends a chunk, and at the very end.
    texts += ["cat " * before + ", " + "dog " * (76 - before) for before in (0, 53, 54, 55, 56, 73, 74, 75)]
    texts += ["cat " * 74 + ", , dog", "cat " * 75 + ", dog " + "cat " * 80, "cat, " * 80, "(cat, dog:1.3) " * 30, "cat " * 70 + "BREAK " + "dog " * 80]
    # A word of several rows at the border.
    texts += ["cat " * before + words[0] + " dog" for before in (71, 72, 73, 74, 75)] + ["cat " * 60 + ", " + "dog " * 12 + words[0] + " x", words[0] * 40]
    for _ in range(20):
        texts.append("".join(
            source.choice([source.choice(nouns) + " ", source.choice(nouns) + ", ", f"({source.choice(nouns)}:1.{source.randint(1, 9)}) ", "[x] ", words[0] + " "])
            for _ in range(source.randint(40, 170))))
    return texts


def weighted(context: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Each chunk's context `[chunks, places, width]`, weighted, its mean restored."""
    result = context * weights[..., None]
    return result * (context.mean(dim=(1, 2), keepdim=True) / result.mean(dim=(1, 2), keepdim=True))


def runs(weights: list[float]) -> list:
    result: list = []
    for weight in weights:
        if result and result[-1][0] == weight:
            result[-1][1] += 1
        else:
            result.append([weight, 1])
    return result


def main() -> None:
    for text, parts in DOCUMENTED.items():
        assert parse(text) == parts, text
    source = random.Random(7)
    texts = [*DOCUMENTED, *TEXTS, *(random_prompt(source) for _ in range(600))]
    cases = [{"text": text, "parts": parse(text)} for text in texts if is_comparable(parse(text), text)]

    words = {"<toy>": 3}
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = clip(Path(scratch) / "clip", "<|endoftext|>")
        for word, count in words.items():
            tokenizer.add_tokens([word, *(f"{word}_{k}" for k in range(1, count))])
        chunked = [
            {"text": text, "chunks": [{"ids": ids, "weights": runs(weights)} for ids, weights in chunks(parse(text), tokenizer, words)]}
            for text in chunk_texts(source, list(words))
        ]
    document = {"made_by": "Tools/reference/prompts.py", "cases": cases, "added": words, "chunks": chunked}
    (FIXTURES / "prompts.json").write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")

    prompt = "a ((striped)) cat and [a (red:1.7) rocket] on a table BREAK (night:0.4), a tree"
    model = MODELS / "tiny-sd1"
    ids, weights = places(chunks(parse(prompt), load_tokenizer(model), {}), load_tokenizer(model))
    with torch.no_grad():
        context = load_text_encoder(model, torch.float64)(ids)[0]
    tensors = {"ids": ids, "weights": weights, "context": context, "weighted": weighted(context, weights), **xl_conditioning()}
    save(FIXTURES / "prompts.safetensors", tensors, "prompts.py", prompt=prompt, picture=PICTURE, negative=NEGATIVE)
    draw()


PICTURE = "a (striped:1.4) [purple] and yellow cat BREAK on a (((orange))) background"
NEGATIVE = "(red:1.2), outlined"


def places(parts: list[tuple[list[int], list[float]]], tokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    """Chunks as the text encoder takes them, `[chunks, places]`: the tokens with start, end and padding, and the weights."""
    ids = [[tokenizer.bos_token_id, *i, tokenizer.eos_token_id] + [tokenizer.pad_token_id] * (PLACES - len(i)) for i, _ in parts]
    weights = [[1.0, *w] + [1.0] * (PLACES + 1 - len(w)) for _, w in parts]
    return torch.tensor(ids), torch.tensor(weights, dtype=torch.float64)


def xl_conditioning() -> dict[str, torch.Tensor]:
    model = MODELS / "tiny-sdxl"
    contexts, pooled = [], None
    for suffix, kind in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
        tokenizer = CLIPTokenizer.from_pretrained(model / f"tokenizer{suffix}")
        encoder = kind.from_pretrained(model / f"text_encoder{suffix}", dtype=torch.float64).eval()
        parts = [chunks(parse(prompt), tokenizer, {}) for prompt in (PICTURE, NEGATIVE)]
        most = max(map(len, parts))
        ids, weights = places([chunk for each in parts for chunk in each + [([], [])] * (most - len(each))], tokenizer)
        with torch.no_grad():
            result = encoder(ids, output_hidden_states=True)
        contexts.append(weighted(result.hidden_states[-2], weights))
        if suffix:
            pooled = result.text_embeds[::most]
    return {"xl.context": torch.cat(contexts, -1)[:most].flatten(0, 1), "xl.pooled": pooled}


def draw() -> None:
    pipe = StableDiffusionPipeline.from_pretrained(demo_model(), torch_dtype=torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    parts = [chunks(parse(prompt), pipe.tokenizer, {}) for prompt in (PICTURE, NEGATIVE)]
    most = max(map(len, parts))
    with torch.no_grad():
        contexts = []
        for each in parts:
            ids, weights = places(each + [([], [])] * (most - len(each)), pipe.tokenizer)
            contexts.append(weighted(pipe.text_encoder(ids)[0], weights.float()).flatten(0, 1)[None])
    latents = load_file(FIXTURES / "demo/latents.safetensors")["latents"]
    picture = pipe(prompt_embeds=contexts[0], negative_prompt_embeds=contexts[1], num_inference_steps=30, guidance_scale=7.5, latents=latents).images[0]
    picture.save(FIXTURES / "demo/ddim30-weighted.png")


if __name__ == "__main__":
    main()
