"""The time that a training step would take on cards that are not here.

A launch of Tools/gpu-check/step.txt lasts as long as the unit with the most groups. A group of the tiled kernels goes through
slices of a sum; for each slice it takes the machine instructions of the compiled loop, by the slowest of: vector arithmetic,
instructions at all, local memory. Groups that share a unit fill each other's waits: those for the loads of a slice, which
last as long as memory's latency where a wait stands before the products, and what is left of that behind them where it
does not. No launch is faster than the memory that its buffers take, and each costs its start. It serves to rank; nothing
here was timed on a card.
"""

import dataclasses
import re

import assembly
from tools import ROOT


@dataclasses.dataclass
class Card:
    name: str
    chip: str
    units: int  # what a group runs on: a work-group processor, a streaming multiprocessor
    clock: float  # GHz
    schedulers: int  # of a unit, each one instruction of 32 items a clock
    local: int  # bytes of local memory of a unit
    ports: int  # times 128 bytes of local memory a clock
    bandwidth: float  # GB/s
    separate: bool  # whether other instructions issue beside vector arithmetic
    latency: int  # clocks of a load from memory


CARDS = [
    Card("RX 6700 XT", "gfx1030", 20, 2.44, 4, 128 << 10, 2, 384, True, 700),
    Card("RTX 3060", "sm_86", 28, 1.777, 4, 100 << 10, 1, 360, False, 600),
]
LAUNCH = 4e-6  # seconds from one launch's end to the next one's work
REACH = 0.8  # of the memory's bandwidth
EFFICIENCY = 0.9  # of a unit's issue slots, for all that the model leaves out


@dataclasses.dataclass
class Cost:
    """What one wave issues in one round of a loop."""
    all: float = 0
    vector: float = 0
    fma: float = 0
    local: float = 0  # clocks of one port
    waits: bool = False  # for a load, before the products

    def add(self, other, times):
        self.all += other.all * times
        self.vector += other.vector * times
        self.fma += other.fma * times
        self.local += other.local * times
        self.waits = self.waits or other.waits


def is_fma(i):
    return i.name.startswith(("v_fma_f32", "v_fmac_f32", "v_mad_f32", "v_mac_f32", "FFMA", "v_pk_fma_f32"))


def bytes_of_load(i):
    """Bytes an item loads from memory; 0 for anything else."""
    if i.name.startswith(("global_load_", "buffer_load_")):
        return {"ubyte": 1, "ushort": 2, "u16": 2, "short": 2, "dword": 4, "b32": 4, "dwordx2": 8, "b64": 8, "dwordx3": 12,
                "dwordx4": 16, "b128": 16}.get(i.name.split("_")[2], 2)
    if i.name.startswith("LDG"):
        return 16 if ".128" in i.name else 8 if ".64" in i.name else 2 if "16" in i.name else 1 if "8" in i.name else 4
    return 0


def local_clocks(i):
    """Clocks of a port of local memory: 128 bytes each for 32 items."""
    if match := re.match(r"ds_(?:read|write|load|store)(2|_2addr)?(?:st64)?_b(\d+)", i.name):
        return int(match.group(2)) / 32 * (2 if match.group(1) else 1)
    if i.name.startswith(("LDS", "STS")):
        return 4 if ".128" in i.name else 2 if ".64" in i.name else 1
    return 0


def cost_of(instructions):
    instructions = list(instructions)
    wide = any(bytes_of_load(i) >= 8 for i in instructions)
    cost = Cost()
    for block in assembly.blocks(instructions):
        # The way of rows that do not come in quads.
        if wide and any(0 < bytes_of_load(i) <= 2 for i in block):
            continue
        for i in block:
            cost.all += 1
            cost.vector += i.name.startswith("v_") or (i.name[0].isupper() and local_clocks(i) == 0 and bytes_of_load(i) == 0)
            cost.fma += is_fma(i)
            cost.local += local_clocks(i)
    return cost


def waits_early(card, code, first, last):
    """Whether something of instructions first ... last - 1 needs what a load before it brings."""
    coming = set()
    for i in code[first:last]:
        if i.name == "s_waitcnt" and "vmcnt" in i.operands and coming:
            return True
        if bytes_of_load(i) >= 4:
            goal = re.match(r"R(\d+)|v\[?(\d+)", i.operands)
            number = int(goal.group(1) or goal.group(2)) if goal else -1
            coming |= {f"R{number + n}" for n in range((bytes_of_load(i) + 3) // 4)}
        elif i.name[0].isupper() and coming & set(re.findall(r"R\d+", i.operands)):
            return True
    return False


def count(loop, code, test):
    return sum(1 for i in code[loop.first:loop.last + 1] if test(i))


def slice_cost(card, compiled, fmas):
    """One round of the outermost loop with the products, of which an item makes `fmas`, in loops of equal length."""
    code = compiled.code
    main = max(compiled.loops, key=lambda loop: count(loop, code, is_fma))
    cost = cost_of(main.own(code))
    products = [loop for loop in main.inner if count(loop, code, is_fma) > 0]
    rest = sum(count(loop, code, is_fma) for loop in products)
    trips = max(1, (fmas - cost.fma) / rest) if rest else 1
    for loop in main.inner:
        for part in [loop, *loop.inner]:
            cost.add(cost_of(part.own(code)), trips if loop in products else 1)
    start = next(n for n in range(main.first, main.last + 1) if is_fma(code[n]))
    cost.waits = waits_early(card, code, main.first, products[0].first if products else start)
    return cost


def define(defines, name):
    return int(next(d.split("=")[1] for d in defines if d.split("=")[0] == name))


def tiled(kernel, sizes, defines):
    """Slices that a group goes through, and products that an item makes of each; None for other kernels."""
    value = lambda name: define(defines, name)
    up = lambda a, b: -(-a // b)
    if kernel.startswith(("linear", "convolution")):
        backward = kernel.endswith("backward_input")
        taps = sizes["taps"] ** 2 if "taps" in sizes else 1
        if backward and "stride" in sizes:
            taps /= sizes["stride"] ** 2
        depth = value("TILE_DEPTH")
        return taps * up(sizes["outputs" if backward else "inputs"], depth), value("ITEM_ROWS") * value("ITEM_COLUMNS") * depth
    if kernel in ("attention_forward", "attention_backward_query", "attention_backward_key_value"):
        prefix = "" if kernel == "attention_forward" else "BACKWARD_"
        step, split = value(prefix + "STEP_ROWS"), value(prefix + "SPLIT")
        slices = up(sizes["queries" if kernel.endswith("key_value") else "keys"], step)
        channels = up(value("HEAD_DIMENSION"), 4 * split) * 4
        products = {"attention_forward": 2, "attention_backward_query": 3, "attention_backward_key_value": 4}[kernel]
        return slices, products * step * channels
    return None


def seconds(card, compiled, kernel, groups, items, sizes, bytes_used, defines):
    latency = card.latency / (card.clock * 1e9)
    memory = bytes_used / min(REACH * card.bandwidth * 1e9, groups * items * 16 / latency)
    work = tiled(kernel, sizes, defines)
    if not work:
        return LAUNCH + latency + memory
    slices, fmas = work
    cost = slice_cost(card, compiled, fmas)
    waves = -(-items // 32)
    # A port of local memory that serves all items one address is done in half the time on NVIDIA.
    local = cost.local / (2 if not card.separate and kernel.startswith("attention") else 1)

    def clocks(resident):
        share = resident * waves / card.schedulers
        issue = share * (cost.vector if card.separate else cost.all) / EFFICIENCY
        return max(issue, cost.all, resident * waves * local / card.ports / EFFICIENCY)

    alone = clocks(1)
    wait = 60 + (card.latency if cost.waits else max(0, card.latency - alone))
    slice_clocks = lambda resident: max(clocks(resident), alone + wait) if resident else 0
    resident = max(1, min(compiled.occupancy * card.schedulers // waves, card.local // max(compiled.local, 1)))
    rounds, left = divmod(-(-groups // card.units), resident)
    total = slices * (rounds * slice_clocks(resident) + slice_clocks(left)) + (rounds + (left > 0)) * 2 * card.latency
    return LAUNCH + max(total / (card.clock * 1e9), memory)


def read_launches():
    """Card's name -> launches: how often, kernel, groups, items, arguments, source, storage and defines."""
    cards = {}
    for line in (ROOT / "Tools/gpu-check/step.txt").read_text().splitlines():
        if line.startswith("# "):
            launches = cards.setdefault(line[2:], [])
            continue
        left, _, right = line.partition(" : ")
        times, kernel, groups, local, *arguments = left.split()
        source, storage, *defines = right.split()
        product = lambda text: eval(text.replace("x", "*"))  # numbers and x alone
        launches.append((int(times), kernel, product(groups), product(local), arguments, source, storage, defines))
    return cards


def parameters(kernel, source):
    """Names of a kernel's parameters."""
    text = re.sub(r"//.*", "", (ROOT / "Kernels" / source).read_text())
    if not (match := re.search(r"\bvoid\s+" + kernel + r"\s*\(([^)]*)\)", text)):
        return []
    return [re.search(r"(\w+)\s*$", part.strip()).group(1) for part in match.group(1).split(",")]


def classify(kernel, source, sizes):
    if kernel.startswith("convolution"):
        return "convolution, 8²" if sizes["height"] * sizes["width"] <= 64 else "convolution"
    if kernel.startswith("linear"):
        return "linear, at most 77 rows" if sizes["rows"] <= 77 else "linear"
    if kernel.startswith("attention"):
        return "attention"
    return "norms" if source.startswith("Normalization") else "the rest"


def report(compiled):
    """Prints the modelled step of `compiled`: kernels by chip, source, defines, storage and name."""
    for card in CARDS:
        classes, launches, few = {}, 0, 0
        for times, kernel, groups, items, arguments, source, storage, defines in read_launches()[card.name]:
            names = parameters(kernel, source) or parameters(kernel, "Attention/attention_shared.cl")
            values = dict(zip(names, arguments))
            sizes = {name: int(value) for name, value in values.items() if re.fullmatch(r"-?\d+", value)}
            bytes_used = sum(int(part.split(":")[1]) for part in {v for v in arguments if ":" in v})
            took = seconds(card, compiled[card.chip, source, tuple(defines), storage, kernel], kernel, groups, items, sizes,
                           bytes_used, defines)
            launches += times
            few += times * (groups < 40)
            name = classify(kernel, source, sizes)
            classes[name] = classes.get(name, 0) + times * took
        parts = ", ".join(f"{name} {1e3 * time:.0f}" for name, time in sorted(classes.items(), key=lambda part: -part[1]))
        print(f"modelled step, {card.name} ({card.chip}): {1e3 * sum(classes.values()):.0f} ms ({parts}); "
              f"{launches} launches, {few} of fewer than 40 groups")
