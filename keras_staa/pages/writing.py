"""Write pages, by the templates in the folder `templates`."""

import pathlib

import keras

import keras_staa
from keras_staa import files
from keras_staa.pages import drawing

# Larger pages are slow on a phone.
LARGEST = 3_000_000


def write_page(found, path):
    """Write the page of a network: one file that needs nothing else.

    Args:
        found: what `look_at` returned.
        path: of the file, which ends in `.html`.

    Raises:
        ValueError: for another suffix.
        ImportError: if Jinja or matplotlib is not installed.
    """
    path = checked(path)
    render = {"found": found, "report": found.report, "preset": found.preset}
    stages = found.report.stages() or []
    html = _template("page.html").render(
        **render, **_common(), stages=stages, sections=_sections(found)
    )
    _write(path, html)


def write_gallery(every, folder):
    """Write a page for each network, and an index that compares them.

    Args:
        every: list of what `look_at` returned.
        folder: path; it is made if it is not there. Other files in it stay.

    Raises:
        ValueError: if two networks have the same name, or there are none.
        ImportError: as `write_page` does.
    """
    names = [found.preset.name for found in every]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`every` must have networks of different names. Received: {names}")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for found in every:
        write_page(found, folder / f"{found.preset.name}.html")
    html = _template("index.html").render(every=every, figures=drawing.gallery(every), **_common())
    _write(folder / "index.html", html)


def checked(path):
    """Return a path as such, if a page can have it."""
    path = pathlib.Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"`path` must end in .html. Received: path={str(path)!r}")
    return path


def _sections(found):
    """Return pairs of a heading's name and its figures."""
    made = {
        "samples": [drawing.inputs(found)],
        "energy": [drawing.energy(found)],
        "firing": [drawing.firing_rates(found), drawing.potentials(found)],
        "attention": drawing.attention(found) if found.maps is not None else [],
        "steps": drawing.steps(found) if found.by_step is not None else [],
        "confusion": [drawing.confusion(found)] if found.evaluation is not None else [],
        "training": drawing.training(found) if found.history is not None else [],
    }
    return made


def _common():
    backend = keras.backend.backend()
    return {"version": keras_staa.__version__, "keras": keras.__version__, "backend": backend}


def _template(name):
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise ImportError("Pages are made by Jinja: `pip install keras-staa[insight]`.") from error
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates")
    strict = {"undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja2.Environment(loader=loader, autoescape=True, **strict)
    environment.filters |= {"percent": lambda x: f"{x:.2%}", "mj": lambda x: f"{x:.4f}"}
    environment.filters |= {"many": lambda n: f"{n:,.0f}"}
    return environment.get_template(name)


def _write(path, html):
    data = html.encode()
    if len(data) > LARGEST:
        raise ValueError(f"{path} would have {len(data):,} bytes, more than {LARGEST:,}.")
    files.write(path, data)
