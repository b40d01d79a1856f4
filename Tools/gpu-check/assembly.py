"""Machine code as text: instructions with their loops."""

import dataclasses
import re


@dataclasses.dataclass
class Instruction:
    name: str
    operands: str
    label: str = ""  # where a branch goes
    opens: bool = False  # whether a block begins here


@dataclasses.dataclass
class Loop:
    """Instructions first ... last of a kernel; the last jumps back to the first."""
    first: int
    last: int
    inner: list = dataclasses.field(default_factory=list)

    def holds(self, other):
        return self is not other and self.first <= other.first and other.last <= self.last

    def own(self, code):
        """The loop's instructions without those of its inner loops."""
        at = self.first
        for loop in self.inner:
            yield from code[at:loop.first]
            at = loop.last + 1
        yield from code[at:self.last + 1]


def read_amd(text):
    """Kernels of what clang's -S writes for AMD: name -> (instructions, labels)."""
    return read(text, re.compile(r"^(\w+):\s*; @\1"), re.compile(r"^(\.LBB\w+):"), re.compile(r"^\t([a-z]\w+)\s*(.*?)(?:;.*)?$"),
                re.compile(r"\.LBB\w+"), "s_endpgm")


def read_nvidia(text):
    """Kernels of what nvdisasm writes."""
    return read(text, re.compile(r"^\.text\.(\w+):"), re.compile(r"^(\.L_x_\w+):"),
                re.compile(r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)\s*(.*?);"), re.compile(r"\.L_x_\w+"), None)


def read(text, start, label, instruction, target, end):
    kernels, code, labels = {}, None, None
    for line in text.splitlines():
        if match := start.match(line):
            code, labels = [], {}
            kernels[match.group(1)] = (code, labels)
        elif code is None:
            continue
        elif match := label.match(line):
            labels[match.group(1)] = len(code)
        elif match := instruction.match(line):
            goal = target.search(match.group(2))
            opens = len(code) in labels.values() or bool(code and code[-1].label)
            code.append(Instruction(match.group(1), match.group(2), goal.group() if goal else "", opens))
            if end and match.group(1) == end:
                code = None
    return kernels


def blocks(code):
    block = []
    for instruction in code:
        if instruction.opens and block:
            yield block
            block = []
        block.append(instruction)
    if block:
        yield block


def loops(code, labels):
    """The outermost loops, each with its inner ones, from the branches that go back."""
    ranges = {}
    for i, instruction in enumerate(code):
        first = labels.get(instruction.label, i + 1) if instruction.label else i + 1
        if first <= i:
            ranges[first] = max(i, ranges.get(first, 0))
    # A block that was moved behind its loop jumps back into it: that is none.
    found = [Loop(first, last) for first, last in ranges.items()
             if not any(start < first <= end < last for start, end in ranges.items())]
    found.sort(key=lambda loop: loop.first - loop.last)
    outermost = []
    for loop in found:
        parents = [other for other in found if other.holds(loop)]
        (parents[-1].inner if parents else outermost).append(loop)
    for loop in found:
        loop.inner.sort(key=lambda inner: inner.first)
    return outermost
