"""Events in the order of time, whatever their order in the file."""

import warnings

import numpy as np

from keras_staa.data.formats import contract as shared


def ordered(path, blocks, size=None):
    """Sort events by time, in chunks that need no more memory than three of them.

    Args:
        path: path of the file, for the warning.
        blocks: iterable of arrays of `DTYPE`.
        size: how many events a chunk has, or None for one chunk with all.

    Yields:
        Arrays of `DTYPE` with `size` events, the last one with the rest.

    Raises:
        ValueError: if an event comes so late in the file that the chunk it belongs to is gone.
    """
    waiting, count, total, late, most, latest, done = [], 0, 0, 0, 0, None, None
    for block in blocks:
        t = np.ascontiguousarray(block["t"])
        steps = np.diff(t, prepend=t[:1] if latest is None else latest)
        late, most = late + int(np.count_nonzero(steps < 0)), max(most, -int(steps.min()))
        latest, total, count = t[-1:], total + len(t), count + len(t)
        waiting.append(block)
        if size is None or count < 2 * size:
            continue
        merged = _merge(waiting, late)
        # As many events as a chunk has wait for those that come late.
        for start in range(0, count - 2 * size + 1, size):
            done = _in_turn(path, merged[start : start + size], done, size)
            yield merged[start : start + size]
            count -= size
        waiting = [merged[len(merged) - count :].copy()]
    if count:
        merged = _merge(waiting, late)
        for start in range(0, count, size or count):
            done = _in_turn(path, merged[start : start + (size or count)], done, size)
            yield merged[start : start + (size or count)]
    if late:
        warnings.warn(
            f"{path}: {late} of {total} events had a timestamp before that of the event in front "
            f"of them, by up to {most} us; the events were sorted by time.",
            stacklevel=2,
        )


def _merge(blocks, late):
    merged = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    # Stable, so that events of one time stay in the order of the file.
    return merged[np.argsort(merged["t"], kind="stable")] if late else merged


def _in_turn(path, chunk, done, size):
    if done is not None and chunk["t"][0] < done:
        shared.reject(
            path,
            f"have no event more than {size} events after those of its time, to be read in chunks "
            "(a larger `events` or `read` sorts it)",
            f"time {int(chunk['t'][0])} us after {int(done)} us",
        )
    return chunk["t"][-1]
