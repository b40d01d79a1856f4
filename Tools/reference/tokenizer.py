"""Writes Tests/Fixtures/tokenizer.json: texts and the token numbers that transformers' CLIPTokenizer gives them.

    python Tools/reference/tokenizer.py [OUTPUT]

Each case names its tokenizer (`demo`, the built-in model's; `clip`, CLIP's whole vocabulary, made from Sources/CLIPVocabulary/merges.txt;
`clip2`, the same with Stable Diffusion 2's padding), the words added to it, a text and the 77 numbers it becomes.

`rows` has the same for words of several rows, `{word: rows}`, whose prompts diffusers' loader of such words writes out first
(`TextualInversionLoaderMixin.maybe_convert_prompt`). That knows a word in lower case only, so texts go to it in lower case; and it
replaces text, so that `<old>_1` beside `<old>` becomes another word: no text here has both.
"""

import json
import sys
import tempfile
from pathlib import Path

import transformers
from diffusers.loaders import TextualInversionLoaderMixin
from transformers import CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "Sources/DemoModel/Resources/model/tokenizer"
MERGES = ROOT / "Sources/CLIPVocabulary/merges.txt"

PLAIN = [
    "", " ", "a photo of a cat", "A  Photo\tof\n a CAT ", "it's the dog's, we'll see; I'd've THEY'RE don't I'm", "'S 'sx ''s s'",
    "12345 rooms, 3rd floor, 1/2 ½ ² Ⅷ ٣", "hello-world... (really?!) [x] {y} <z> a_b c@d.e #tag 50% $5 ~^`|\\",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m \u212b", "\u0130stanbul \u03a3\u03a3 \u039f\u0394\u039f\u03a3 stra\u00dfe \u1e9e \u01c5",
    "\u65e5\u672c\u8a9e\u306e\u6587 \u4e2d\u6587\u5b57 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\u043f\u0440\u0438\u0432\u0435\u0442 \u041c\u0438\u0440 \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f ok\U0001f44d\U0001f3fd", "a\u00a0b\u2003c\u200bd\u3000e\u2028f\x85g\x1ch\u180ei\ufeffj",
    "\x00a\x07b", "<|endoftext|> in a<|startoftext|>text <|ENDOFTEXT|>!", "!<|startoftext|>? <|startoftext|>!!", "wow! what!! a!b",
    "antidisestablishmentarianism supercalifragilisticexpialidocious", "x" * 300, "a b " * 60, "!" * 100,
    "a highly detailed matte painting of a castle, trending on artstation, 8k, by greg rutkowski",
    "e\u0301\u0327 \u1e69 \u0073\u0323\u0307 \u0344 \ufb01 \uff21\uff42\uff43\uff11", "the\u2019s \u2018quoted\u2019 \u201cwords\u201d \u2014 dash",
    "one two three four five six seven eight nine ten " * 8 + "it's the end, isn't it?",
]
MORE = [
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
ADDED = ["<toy>", "<toy>_1", "<toy>_10", "<Big-One>", "sks", "\u00c9toile", "<my cat>"]
WITH_ADDED = [
    "a photo of <toy>", "a <toy> <toy>_1 <toy>_10 on a table", "a<toy>s and<toy>_1x, <TOY>'s <toy>!", "<toy><toy>_1<toy>_10<toy>_2",
    "<toy", "toy> < toy >", "<big-one> <BIG-ONE> <Big-One>", "sks dog, disks and SKS", "e\u0301toile \u00e9toile \u00c9TOILE\u00c9toile",
    "<my  cat> <my\tcat> <my cat>", "<toy>" * 80, "it<toy>'s <|endoftext|><toy><|startoftext|>", "  <toy>  ",
]

MORE_WITH_ADDED = [
    "<toy>", "a photo of <toy>", "a photo of <toy> <toy>_1", "<toy> and <toy>", "<toy>_1 <toy>", "a<toy>cat", "<toy>,", "the <toy>'s house", "<toy>_2",
    "<toy>_10", "<TOY>", "< toy >", "<toy", "toy>", "<<toy>>", "  <toy>  ", "<toy>\n<toy>_1", "<Big-One>", "<big-one> and <toy>", "my cat <Big-One>!",
    "photo " * 74 + "<toy> <toy>_1", "photo " * 75 + "<toy>",
]


ROWS = {"<old>": 3, "<new>": 1, "sks": 2}
WITH_ROWS = [
    "<old>", "a photo of <old> on a table", "<old> and <old>, it's <old>!", "a<old>s", "<old><old>", "only <old>_1 here", "<old>_2", "<old>_3",
    "<new> with sks", "<OLD> in A Photo of SKS", "<Old>_1", "<new>_1 beside <new>", "photo " * 73 + "<old> cat", "photo " * 70 + "sks <old>", "<old> " * 40,
]


def clip(folder: Path, padding: str) -> CLIPTokenizer:
    """CLIP's whole tokenizer, as the files of Stable Diffusion's models hold it."""
    lines = MERGES.read_text(encoding="utf-8").splitlines()[1:]
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(b) for b in printable] + [chr(0x100 + n) for n in range(256 - len(printable))]
    pieces = letters + [c + "</w>" for c in letters] + [m.replace(" ", "") for m in lines] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>"}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": padding}))
    return CLIPTokenizer.from_pretrained(folder)


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Tests/Fixtures/tokenizer.json"
    cases = []
    with tempfile.TemporaryDirectory() as scratch:
        makers = {
            "demo": lambda: CLIPTokenizer.from_pretrained(DEMO),
            "clip": lambda: clip(Path(scratch) / f"clip{len(cases)}", "<|endoftext|>"),
            "clip2": lambda: clip(Path(scratch) / f"clip2{len(cases)}", "!"),
        }
        for name, make in makers.items():
            for added, texts in (([], PLAIN + MORE), (ADDED, WITH_ADDED + MORE_WITH_ADDED)):
                tokenizer = make()
                assert tokenizer.add_tokens(added) == len(added)
                for text in texts:
                    ids = tokenizer(text, padding="max_length", truncation=True, max_length=77)["input_ids"]
                    cases.append({"tokenizer": name, "added": added, "text": text, "ids": ids})
    tokenizer, rows = makers["demo"](), []
    for word, count in ROWS.items():
        tokenizer.add_tokens([word, *(f"{word}_{k}" for k in range(1, count))])
    for text in WITH_ROWS:
        written = TextualInversionLoaderMixin().maybe_convert_prompt(text.lower(), tokenizer)
        ids = tokenizer(written, padding="max_length", truncation=True, max_length=77)["input_ids"]
        rows.append({"text": text, "ids": ids})
    document = {"made_by": "Tools/reference/tokenizer.py", "transformers": transformers.__version__, "cases": cases, "words": ROWS, "rows": rows}
    output.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
