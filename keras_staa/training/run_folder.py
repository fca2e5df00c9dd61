"""The folder of a run: what it holds, and whether a run may go there."""

import csv
import importlib
import importlib.util
import json
import os
import pathlib
import platform
import tomllib

import keras

import keras_staa
from keras_staa import files
from keras_staa.training.recipe import dump

RECIPE, ENVIRONMENT, RESULT = "recipe.toml", "environment.json", "result.json"
HISTORY, CHECKPOINTS, CURVES = "history.csv", "checkpoints", "curves.png"


def prepare(folder, recipe):
    """Make the folder of a run, or take one that holds a run of the same recipe.

    Args:
        folder: path.
        recipe: what `load_recipe` gives.

    Returns:
        The folder, a `pathlib.Path`.

    Raises:
        ValueError: if the folder holds a run of another recipe, or other files.
    """
    folder = pathlib.Path(folder)
    path = folder / RECIPE
    if path.is_file():
        found = tomllib.loads(path.read_text("utf-8"))
        differences = list(_differences(found, tomllib.loads(dump(recipe))))
        if differences:
            raise ValueError(
                f"`out` must be a new folder, or that of a run of the same recipe. Received: "
                f"out={str(folder)!r}, which differs in {'; '.join(differences[:5])}"
            )
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            f"`out` must be a new or an empty folder. Received: out={str(folder)!r}, which holds "
            f"other files"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ENVIRONMENT, environment())
    files.write(path, dump(recipe).encode())
    return folder


def environment():
    """Return the versions and the machine that a result depends on, as a dictionary."""
    backend = keras.backend.backend()
    return {
        "keras_staa": keras_staa.__version__,
        "keras": keras.__version__,
        "backend": backend,
        backend: importlib.import_module(backend).__version__,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
    }


def write_json(path, content):
    """Write a JSON file, whole or not at all."""
    files.write(path, (json.dumps(content, indent=2) + "\n").encode())


def keep_epochs(folder, count):
    """Remove the rows of epochs that a resumed run repeats from the history."""
    path = folder / HISTORY
    if not path.is_file():
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        # Of a run that was stopped in its first epoch: the next one writes the names of columns.
        path.unlink()
        return
    kept = [row for row in rows[1:] if len(row) == len(rows[0]) and int(row[0]) < count]
    if len(kept) + 1 < len(rows):
        lines = [",".join(row) for row in [*rows[:1], *kept]]
        files.write(path, ("\n".join(lines) + "\n").encode())


def draw_curves(folder):
    """Draw the loss and the metrics of each epoch. Returns False where matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from keras_staa import plots

    columns = plots.columns_of(folder / HISTORY)
    if columns:
        plots.curves(columns, path=folder / CURVES)
    return True


def _differences(found, wanted, path=""):
    for key in sorted(found.keys() | wanted.keys()):
        before, now = found.get(key), wanted.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _differences(before, now, f"{path}{key}.")
        elif before != now:
            yield f"`{path}{key}`: {before!r} there, {now!r} now"
