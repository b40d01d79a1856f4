"""Writes Tests/Fixtures/tokenizer_lines.json: 10,000 lines of varied text, and a hash of the tokens that transformers gives each.

    python Tools/reference/tokenizer_lines.py [OUTPUT] [--ids FILE]

The tokenizer is CLIP's whole one, made from Sources/CLIPVocabulary/merges.txt, once as it is (`plain`) and once with the words `added`
to it. It is read from `tokenizer.json` and from `vocab.json` with `merges.txt`; both must agree. transformers 5 has one class
for it, `CLIPTokenizer`: `CLIPTokenizerFast` is another name of the same, and the older one written in Python is gone.

A line's hash is FNV-1a of 32 bits over its token numbers, start and end among them, as 16-bit little-endian numbers; the hashes are
32-bit little-endian numbers in base64. `--ids` writes the numbers themselves, a JSON array of the plain ones a line, to see where one
differs. The lines depend on a seed alone, and on the version of Unicode that Python knows.
"""

import argparse
import base64
import json
import random
import struct
import tempfile
import unicodedata
from pathlib import Path

import transformers
from tokenizer import ROOT, clip
from transformers import CLIPTokenizer, CLIPTokenizerFast

COUNT = 10_000
ADDED = ["<toy>", "<toy>_1", "<toy>_10", "<Big-One>", "sks", "\u00c9toile", "<my cat>", "\u732b\u3061\u3083\u3093"]

WORDS = """a an the of on in with and by at under photo painting portrait cat dog castle rocket mushroom woman man robot dragon forest city night
day sunset beach red green blue golden detailed highly intricate masterpiece best quality 8k 4K uhd HDR artstation trending greg rutkowski
wlop Mucha studio lighting bokeh f/1.8 35mm close-up wide-angle cyberpunk steampunk watercolor ink oil canvas lineart anime 1girl solo
looking_at_viewer long_hair smile hat vintage film grain Kodak Portra unreal engine octane render volumetric fog god rays isometric logo
vector minimal flat pixel-art low poly voxel claymation origami stained-glass mosaic graffiti baroque art-nouveau rococo ukiyo-e""".split()
PUNCTUATION = list(",.;:!?-_/\\|+*=~^`@#$%&()[]{}<>\"'") + ["...", "--", "!!", "?!", "::", "((", "))", " - ", "\u2014", "\u2026", "\u00bf", "\u3002"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "\u2019s", "\u2019re", "''s", "'sa", "'reed", "'x", "' s", "'d've", "n't"]
ENTITIES = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&nbsp;", "&#x27;", "&hearts;", "&amp;amp;", "&copy", "&notanentity;", "&#128512;"]
WEB = ["https://example.org/a?b=c&d=e#f", "someone@example.org", "C:\\path\\file.txt", "~/x.py", "<b>bold</b>", "<!-- x -->", "a=b;", "\\(x\\)",
       "(word:1.2)", "((word))", "[word]", "[a:b:0.5]", "BREAK", "AND", "embedding:toy", "<lora:x:0.8>", "{a|b}", "__wild__", "\"quoted\"", "$1,000.00"]
SPECIALS = ["<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "<|endoftext|", "|>", "<|", "</w>", "<|StartOfText|>", "<|endoftext|><|startoftext|>"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u2029", "\u0085", "\u200b", "\ufeff", "\u1680", "\u202f", "\u205f",
          "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\u180e", "\u2060"]
CONTROLS = [chr(c) for c in [*range(0x20), *range(0x7F, 0xA0)]] + ["\u00ad", "\u200c", "\u200d", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066",
                                                                       "\u2069", "\ufffd", "\ufff9", "\ue000", "\U000e0041", "\U000f0000"]
EMOJI = ["\U0001f600", "\U0001f602", "\u2764\ufe0f", "\u2764", "\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
         "\U0001f408\u200d\u2b1b", "\U0001f1e9\U0001f1ea", "\U0001f1ef\U0001f1f5", "1\ufe0f\u20e3", "#\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e007f",
         "\U0001f680", "\u2603", "\u2192", "\U0001f9d1\U0001f3ff\u200d\U0001f680", "\U0001fae0", "\u263a\ufe0e", "\U0001f308", "\u2728"]
PLACED = ["<toy>", "<TOY>", "<toy>_1", "<toy>_10", "<toy>_2", "<toy", "toy>", "< toy >", "<big-one>", "<Big-One>", "<BIG-ONE>", "sks", "SKS", "disks",
          "\u00e9toile", "e\u0301toile", "\u00c9TOILE", "<my cat>", "<my  cat>", "<my\tcat>", "<MY CAT>", "\u732b\u3061\u3083\u3093", "\u732b"]

# Ranges of letters (and what stands among them) of scripts that people write.
LATIN = [(0xC0, 0x24F), (0x1E00, 0x1EFF), (0x250, 0x2AF), (0xFB00, 0xFB06), (0xFF21, 0xFF5A)]
SCRIPTS = [[(0x370, 0x3FF), (0x1F00, 0x1FFF)], [(0x400, 0x52F)], [(0x531, 0x587)], [(0x10A0, 0x10FF), (0x1C90, 0x1CBF)], [(0x900, 0x97F)],
           [(0x980, 0x9FF)], [(0xB80, 0xBFF)], [(0xE00, 0xE7F)], [(0x1000, 0x109F)], [(0x1200, 0x137F)], [(0x13A0, 0x13FF), (0xAB70, 0xABBF)],
           [(0x1780, 0x17FF)], [(0x10400, 0x1044F)], [(0x1D400, 0x1D7FF)], [(0x2460, 0x24FF), (0x2150, 0x218B)], LATIN]
CJK = [[(0x4E00, 0x9FFF)], [(0x3041, 0x3096)], [(0x30A1, 0x30FC)], [(0xAC00, 0xD7A3)], [(0x1100, 0x11F9)], [(0x3400, 0x4DBF)], [(0xF900, 0xFAFF)],
       [(0x20000, 0x2A6DF)], [(0x2F800, 0x2FA1D)], [(0x3000, 0x303F)], [(0xFF01, 0xFF65)], [(0x3131, 0x318E)]]
RIGHT_TO_LEFT = [[(0x5D0, 0x5EA)], [(0x591, 0x5C7)], [(0x620, 0x64A)], [(0x64B, 0x65F)], [(0x660, 0x6D3)], [(0x710, 0x72F)], [(0xFB1D, 0xFB4F)],
                 [(0xFE70, 0xFEFC)], [(0x780, 0x7B1)], [(0x1E900, 0x1E943)]]
NUMBERS = [[(0x30, 0x39)], [(0x660, 0x669)], [(0x966, 0x96F)], [(0xFF10, 0xFF19)], [(0x2150, 0x2189)], [(0x2460, 0x249B)], [(0xB2, 0xB3)],
           [(0x1D7CE, 0x1D7FF)], [(0x3007, 0x3007), (0x3021, 0x3029)], [(0xBC, 0xBE)]]
MARKS = [chr(c) for c in [*range(0x300, 0x370), *range(0x483, 0x488), *range(0x591, 0x5BE), *range(0x64B, 0x656), *range(0x1AB0, 0x1ABF),
                          *range(0x20D0, 0x20F1), 0x93C, 0x94D, 0xE31, 0x3099, 0x309A, 0xFE0F]]


class Lines:
    """Lines of each kind, out of one stream of random numbers."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.assigned = [
            chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co") and not 0x4E00 <= c < 0xA000
            and not 0xAC00 <= c < 0xD7A4 and not 0x17000 <= c < 0x19000 and not 0x20000 <= c < 0x33480
        ]

    def pick(self, *lists):
        return self.random.choice(self.random.choice(lists))

    def some(self, low: int, high: int) -> range:
        return range(self.random.randint(low, high))

    def letters(self, ranges, low=1, high=8) -> str:
        def letter():
            first, last = self.random.choice(ranges)
            return chr(self.random.randint(first, last))
        return "".join(c for c in (letter() for _ in self.some(low, high)) if unicodedata.category(c) not in ("Cn", "Cs"))

    def cased(self, word: str) -> str:
        return self.random.choice([word, word, word, word.upper(), word.title(), word.swapcase()])

    def prompt(self) -> str:
        return "".join(self.cased(self.pick(WORDS)) + self.random.choice([" ", " ", " ", ", ", self.pick(PUNCTUATION)]) for _ in self.some(3, 12))

    def contractions(self) -> str:
        return "".join(self.cased(self.pick(WORDS)) + self.pick(CONTRACTIONS) + self.random.choice(["", " ", " "]) for _ in self.some(1, 6))

    def numbers(self) -> str:
        def number():
            return self.random.choice([
                str(self.random.randint(0, 10 ** self.random.randint(1, 9))), f"{self.random.random():.{self.random.randint(1, 6)}f}",
                self.letters(self.random.choice(NUMBERS), 1, 5),
                self.pick(WORDS) + str(self.random.randint(0, 99)), f"{self.random.randint(1, 9)}th", f"{self.random.randint(1, 99)}%"])
        return "".join(number() + self.random.choice(["", " ", ",", "/", "x", "-", "\u00d7"]) for _ in self.some(1, 7))

    def web(self) -> str:
        return "".join(self.pick(WEB, ENTITIES, WORDS) + self.random.choice(["", " ", " "]) for _ in self.some(1, 5))

    def emoji(self) -> str:
        return "".join(self.pick(EMOJI, EMOJI, WORDS) + self.random.choice(["", "", " "]) for _ in self.some(1, 6))

    def combining(self) -> str:
        def cluster():
            base = self.random.choice([self.pick("aeiouncszAEIOUNCSZy "), self.letters(self.random.choice(SCRIPTS), 1, 1), self.letters([(0x1100, 0x11F9)], 1, 3)])
            return base + "".join(self.pick(MARKS) for _ in self.some(0, 3))
        text = "".join(cluster() + self.random.choice(["", "", "", " "]) for _ in self.some(2, 9))
        return unicodedata.normalize(self.random.choice(["NFC", "NFD", "NFKD"]), text) if self.random.random() < 0.4 else text

    def cjk(self) -> str:
        return "".join(self.random.choice([self.letters(self.random.choice(CJK)), self.letters([(0x4E00, 0x9FFF)]), self.pick(WORDS)])
                       + self.random.choice(["", "", " ", "\u3000", "\u3001", "\u30fb"]) for _ in self.some(1, 5))

    def right_to_left(self) -> str:
        return "".join(self.random.choice([self.letters(self.random.choice(RIGHT_TO_LEFT)), self.letters([(0x5D0, 0x5EA), (0x620, 0x64A)]), self.pick(WORDS)])
                       + self.random.choice(["", " ", " ", "\u200f", "\u202b", "\u060c"]) for _ in self.some(1, 5))

    def scripts(self) -> str:
        return "".join(self.cased(self.letters(self.random.choice(SCRIPTS), 1, 9)) + self.random.choice(["", " ", " ", "-"]) for _ in self.some(1, 5))

    def spaces(self) -> str:
        return "".join(self.pick(SPACES, SPACES, CONTROLS, WORDS, [""]) for _ in self.some(2, 14))

    def long_words(self) -> str:
        alphabet = self.random.choice(["abcdefghijklmnopqrstuvwxyz", "aeioun", "x", "qzxjk", "\u0430\u0431\u0432\u0433", "!?", "0123456789", "\u65e5\u672c", "ab\u0301"])
        return "".join(self.pick(alphabet) for _ in self.some(30, 260)) + self.random.choice(["", " end", "'s"])

    def placed(self) -> str:
        return "".join(self.pick(PLACED, PLACED, WORDS, PUNCTUATION, SPACES) + self.random.choice(["", "", " "]) for _ in self.some(2, 8))

    def specials(self) -> str:
        return "".join(self.pick(SPECIALS, WORDS, PUNCTUATION, PLACED) + self.random.choice(["", " "]) for _ in self.some(2, 7))

    def anything(self) -> str:
        return "".join(self.pick(self.assigned, self.assigned, [" ", "a"]) for _ in self.some(2, 14))

    def mixed(self) -> str:
        kinds = [self.prompt, self.contractions, self.numbers, self.web, self.emoji, self.combining, self.cjk, self.right_to_left, self.scripts, self.spaces,
                 self.placed, self.specials, self.anything]
        return "".join(kind()[:self.random.randint(1, 20)] for kind in self.random.choices(kinds, k=3))

    def all(self, count: int) -> list[str]:
        shares = {self.prompt: 12, self.contractions: 6, self.numbers: 6, self.web: 6, self.emoji: 6, self.combining: 9, self.cjk: 8, self.right_to_left: 7,
                  self.scripts: 9, self.spaces: 6, self.long_words: 1, self.placed: 8, self.specials: 5, self.anything: 9, self.mixed: 6}
        kinds = self.random.choices(list(shares), weights=list(shares.values()), k=count)
        return [kind() for kind in kinds]


# Where tables of Unicode differ: letters of Unicode 17, marks younger than 9, and old letters of Hangul beside the modern ones.
EDGES = ["x\u088fy \U00010940\U00016ea0\U00016ebb a\ua7ce", "a\u0655\u20f0\u09fe\u0345\u20e5\u033b", "s\u05a7\u09fe\u1aba\u0652\u20d7",
         "\u1104\u1176\u11b5 \u1104\u1173\u11c3 \u1113\u1161 \uac00\u11a7 \u1112\u1175\u11c2", "w\u1100\u1176\u05b6 \u1106\u1176",
         "\U00010435\u0316\u0308 \U00010413\u0341", "\ub920\u11b3 \uac00\u0301\u11a8", "\u2ab8\u0306\u0f73 \u1cd1\u0f81 \u0f71\u0f74",
         "\U00011935\U00011930 \U00011938 \U000105d2\u0307 \U000105c9"]


def fnv(ids: list[int]) -> int:
    value = 0x811C9DC5
    for byte in struct.pack(f"<{len(ids)}H", *ids):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def tokenize(folder: Path, added: list[str], lines: list[str]) -> list[list[int]]:
    """The numbers from both forms of the tokenizer's files, which must be the same."""
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    combined = folder / "combined"
    tokenizer.save_pretrained(combined)
    assert {file.name for file in combined.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    results = []
    for each in (tokenizer, CLIPTokenizer.from_pretrained(combined)):
        assert each.add_tokens(added) == len(added)
        results.append([each(line)["input_ids"] for line in lines])
    assert results[0] == results[1]
    return results[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=ROOT / "Tests/Fixtures/tokenizer_lines.json")
    parser.add_argument("--ids", type=Path)
    arguments = parser.parse_args()
    assert CLIPTokenizerFast is CLIPTokenizer
    lines = EDGES + Lines(13).all(COUNT - len(EDGES))
    document = {"made_by": "Tools/reference/tokenizer_lines.py", "transformers": transformers.__version__, "unicode": unicodedata.unidata_version,
                "added": ADDED, "lines": lines}
    with tempfile.TemporaryDirectory() as scratch:
        for name, added in (("plain", []), ("with_added", ADDED)):
            folder = Path(scratch) / name
            clip(folder, "<|endoftext|>")
            ids = tokenize(folder, added, lines)
            document[name] = base64.b64encode(b"".join(struct.pack("<I", fnv(each)) for each in ids)).decode()
            if name == "plain" and arguments.ids:
                arguments.ids.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in ids))
    arguments.output.write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
