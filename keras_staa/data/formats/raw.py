"""Prophesee's raw recordings (.raw), EVT 2.0 and EVT 3.0: words whose first four bits are a type.

Most words change the state of the decoder: its time, row or column. A block of words is decoded at
once: at each word, a part of the state is what the last word that sets it left there.
"""

import numpy as np

from keras_staa.data.formats import contract as shared
from keras_staa.data.formats import prophesee
from keras_staa.data.formats.clock import Clock

_READ = {"2": "2.0", "3": "3.0"}
_TIME = "word of the time"
# Types of both: the upper bits of the time, triggers, and what a camera says of itself.
_HIGH, _TRIGGER, _OTHER, _GOES_ON = 8, 10, 14, 15
# Of EVT 2.0; an event of a pixel has the polarity as its type.
_OFF, _ON = 0, 1
# Of EVT 3.0.
_ROW, _EVENT, _COLUMN, _TWELVE, _EIGHT, _LOW, _GOES_ON_4 = 0, 2, 3, 4, 5, 6, 7


def open_recording(path, events):
    """Open a recording.

    Events before the first word that states the time (in EVT 3.0, also the row) are left out, as in
    Prophesee's decoders: where a file was cut out of a longer one, nobody can know theirs.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`, without a size if the header states none.

    Raises:
        ValueError: if the header is not that of EVT 2.0 or 3.0, or the file ends within a word or
            has words that are none of its version.
    """
    with open(path, "rb") as file:
        fields = prophesee.header(path, file)
        start = file.tell()
    blocks, words = (_evt2, "<u4") if _version(path, fields) == "2.0" else (_evt3, "<u2")
    words = np.dtype(words)
    shared.whole_records(path, start, words.itemsize, "word after its header")
    return shared.Opened(prophesee.sensor_size(fields), blocks(path, start, words, events))


def _version(path, fields):
    named = fields.get("format", "").split(";")[0].strip().upper()
    version = _READ.get(named.removeprefix("EVT"), named) if named else fields.get("evt", "")
    if version not in _READ.values():
        wanted = "state in its header 'evt 2.0' or 'evt 3.0', or the format EVT2 or EVT3"
        shared.reject(path, wanted, f"format {named!r}" if named else f"evt {version!r}")
    return version


def _words(path, start, words, count, known):
    """Blocks of (type, rest) of words."""
    with open(path, "rb") as file:
        file.seek(start)
        while len(block := np.fromfile(file, words, count)):
            bits = 8 * words.itemsize - 4
            kind, rest = block >> bits, (block & (1 << bits) - 1).astype(np.int64)
            foreign = ~np.isin(kind, known)
            if foreign.any():
                wanted = f"have words of the types {sorted(known)}, as its header says"
                shared.reject(path, wanted, f"type {kind[foreign][0]}")
            yield kind, rest


def _held(where, values, before):
    """At each place the value at the last place that sets it, up to this one."""
    last = np.maximum.accumulate(np.where(where, np.arange(1, len(where) + 1), 0))
    return np.append(before, values)[last]


def _highs(kind, values, before, clock):
    """At each word the upper part of the time in microseconds, and whether the word changes it."""
    where = kind == _HIGH
    times = np.zeros(len(kind), np.int64)
    times[where] = clock(values[where])
    high = _held(where, times, before)
    return high, high != np.append(before, high[:-1])


def _evt2(path, start, words, events):
    # -1 is what no word has set yet.
    high, clock = np.int64(-1), Clock(path, 34, _TIME)
    known = (_OFF, _ON, _HIGH, _TRIGGER, _OTHER, _GOES_ON)
    for kind, rest in _words(path, start, words, events, known):
        high, _ = _highs(kind, rest << 6, high, clock)
        event = (kind <= _ON) & (high >= 0)
        rest, t = rest[event], high[event] + (rest[event] >> 22)
        yield rest >> 11 & 0x7FF, rest & 0x7FF, t, kind[event]
        high = high[-1]


def _evt3(path, start, words, events):
    high = low = row = column = polarity = np.int64(-1)
    clock = Clock(path, 24, _TIME)
    known = (_ROW, _EVENT, _COLUMN, _TWELVE, _EIGHT, _LOW, _GOES_ON_4)
    known += (_HIGH, _TRIGGER, _OTHER, _GOES_ON)
    # A word has up to twelve events.
    for kind, rest in _words(path, start, words, max(1, events // 12), known):
        high, changed = _highs(kind, rest << 12, high, clock)
        # Until the lower part comes, the old one would be wrong.
        low = _held((kind == _LOW) | changed, np.where(changed, 0, rest), max(low, 0))
        row = _held(kind == _ROW, rest & 0x7FF, row)
        # A vector of events starts where the one before it ended.
        vector = (kind == _TWELVE) | (kind == _EIGHT)
        width = np.where(kind == _TWELVE, 12, 8) * vector
        passed = np.cumsum(width)
        base = _held(kind == _COLUMN, (rest & 0x7FF) - passed, column) + passed
        polarity = _held(kind == _COLUMN, rest >> 11, polarity)

        single = kind == _EVENT
        x = np.where(single, rest & 0x7FF, base - width)
        p = np.where(single, rest >> 11, polarity)
        valid = np.where(single, 1, rest & (1 << width) - 1)
        valid *= (single | vector) & (high >= 0) & (row >= 0) & (p >= 0)
        word, bit = np.nonzero(valid[:, None] >> np.arange(12) & 1)
        yield x[word] + bit, row[word], (high + low)[word], p[word]
        high, low, row = high[-1], low[-1], row[-1]
        column, polarity = base[-1], polarity[-1]
