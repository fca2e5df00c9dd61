"""What a compiled program reads and writes, one kernel after the other, read off XLA's text."""

import dataclasses
import math
import re

# What moves nothing: names for values that are there, or parts of them.
FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "opt-barrier",
    "partition-id",
    "replica-id",
}
BITS = re.compile(r"\d+")
SHAPE = re.compile(r"(pred|[a-z]+\d+[a-z0-9]*)\[([\d,<=]*)\](\{[^}]*\})?")
# Memory on a TPU's chip, beside its registers, and other than the device's large one.
ON_CHIP = re.compile(r"S\([1-9]")
INSTRUCTION = re.compile(r"^\s+(ROOT )?%([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
COMPUTATION = re.compile(r"^(ENTRY )?%([\w.\-]+) .*\{$")
NAME = re.compile(r"%([\w.\-]+)")
SLICES = ("slice", "dynamic-slice")
UNCHANGED = ("bitcast", "convert", "copy", "reshape")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel that a program starts.

    Attributes:
        name: string, XLA's name of the instruction.
        kind: string, its operation, such as `"fusion"`.
        source: string, the operation of the network that it comes from.
        bytes: integer, how many it reads and writes.
    """

    name: str
    kind: str
    source: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class _Instruction:
    name: str
    type: str
    kind: str
    operands: tuple
    inside: str
    rest: str
    root: bool


def kernels(program):
    """Return the kernels that a compiled program starts, in order.

    Bytes are those of operands and results. Of an operand of which a fusion takes slices only, the
    slices count, and of a tensor that is updated in place the update.

    Args:
        program: string, the text of a compiled and scheduled program of XLA.

    Returns:
        A list of `Kernel`. The body of a loop is there as often as it runs, where that is known.

    Example:

    >>> text = '''HloModule f
    ...
    ... ENTRY %main (x: f32[4]) -> f32[4] {
    ...   %x = f32[4]{0} parameter(0)
    ...   ROOT %y = f32[4]{0} negate(%x)
    ... }
    ... '''
    >>> [(kernel.kind, kernel.bytes) for kernel in kernels(text)]
    [('negate', 32)]
    """
    computations, entry = _computations(program)
    return list(_started(computations, computations[entry])) if entry else []


def _computations(program):
    found, entry, current = {}, None, None
    for line in program.splitlines():
        if match := COMPUTATION.match(line):
            current = found.setdefault(match[2], {})
            entry = match[2] if match[1] else entry
        elif current is not None and (match := INSTRUCTION.match(line)):
            inside, rest = _split(match[5])
            names = tuple(NAME.findall(inside))
            one = _Instruction(match[2], match[3], match[4], names, inside, rest, bool(match[1]))
            current[match[2]] = one
    return found, entry


def _split(text):
    """Return what is inside of the parenthesis that is open, and what is behind it."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth:
            return text[:place], text[place + 1 :]
    return text, ""


def size(type_):
    """Return the bytes of a type as XLA writes it; of a tuple, those of its parts.

    What lies on the chip of a TPU counts nothing.

    Example:

    >>> size("(bf16[2,3]{1,0}, pred[4]{0})")
    16
    """
    total = 0
    for kind, count in _arrays(type_):
        bits = 8 if kind == "pred" else int(BITS.search(kind)[0])
        total += -(-count * bits // 8)
    return total


def _arrays(type_):
    """Kind and number of elements of each array of a type."""
    for kind, shape, layout in SHAPE.findall(type_):
        if ON_CHIP.search(layout):
            continue
        yield kind, math.prod(int(n.lstrip("<=")) for n in shape.split(",") if n)


def _started(computations, body):
    for one in body.values():
        if one.kind in FREE or one.kind.endswith("-done"):
            continue
        called = re.search(r"(?:to_apply|body|calls)=%([\w.\-]+)", one.rest)
        if one.kind == "call":
            yield from _started(computations, computations[called[1]])
        elif one.kind == "while":
            times = re.search(r'known_trip_count"?:\{"n":"(\d+)"', one.rest)
            inner = list(_started(computations, computations[called[1]]))
            yield from inner * (int(times[1]) if times else 1)
        elif one.kind == "conditional":
            branches = re.search(r"branch_computations=\{(.*?)\}", one.rest)
            names = NAME.findall(branches[1]) if branches else []
            names += re.findall(r"(?:true|false)_computation=%([\w.\-]+)", one.rest)
            inner = [list(_started(computations, computations[name])) for name in names]
            yield from max(inner, key=lambda found: sum(k.bytes for k in found), default=[])
        else:
            source = re.search(r'op_name="([^"]*)"', one.rest)
            moved = _moved(computations, body, one, called and called[1])
            yield Kernel(one.name, one.kind, source[1] if source else "", moved)


def _moved(computations, body, one, called):
    if one.kind in SLICES:
        return 2 * size(one.type)
    if one.kind == "dynamic-update-slice":
        return 2 * size(body[one.operands[1]].type)
    given = [size(body[name].type) if name in body else 0 for name in one.operands]
    if one.kind == "copy-start":
        # Its type is that of the copy, of what is copied, and of a mark.
        return sum(given) + size(SHAPE.search(one.type)[0])
    if one.kind == "slice-start":
        # What a part is taken of, the part, and a mark.
        part = list(SHAPE.finditer(one.type))[1][0]
        return size(part.partition("{")[0]) + size(part)
    if one.kind != "fusion":
        return sum(given) + size(one.type)
    inside = computations[called]
    read = {
        parameter.name: min(whole, _read(inside, parameter, whole))
        for whole, parameter in zip(given, _parameters(inside), strict=True)
    }
    root = next(part for part in inside.values() if part.root)
    if root.kind == "dynamic-update-slice":
        # What is updated in place is not read.
        read.pop(_origin(inside, root.operands[0]), None)
        return sum(read.values()) + size(inside[root.operands[1]].type)
    return sum(read.values()) + size(one.type)


def _parameters(inside):
    found = [part for part in inside.values() if part.kind == "parameter"]
    return sorted(found, key=lambda part: int(part.inside))


def _origin(inside, name):
    """Return the parameter that a value is, under other names."""
    while inside[name].kind in UNCHANGED:
        name = inside[name].operands[0]
    return name


def _read(inside, parameter, whole):
    """Return how many bytes of a parameter are read: all, but where only slices are, these."""
    slices, waiting, done = {}, [parameter.name], set()
    if parameter.root:
        return whole
    share = whole / max(1, _elements(parameter.type))
    while waiting:
        name = waiting.pop()
        for user in inside.values():
            if name not in user.operands or (name, user.name) in done:
                continue
            done.add((name, user.name))
            if user.kind in SLICES:
                slices[user.rest.split(", metadata")[0]] = _elements(user.type)
            elif user.kind in UNCHANGED and not user.root:
                waiting.append(user.name)
            else:
                return whole
    return round(share * sum(slices.values()))


def _elements(type_):
    return sum(count for _, count in _arrays(type_))
