"""The README says of the zoo what the presets say of themselves."""

import re

import pytest

from keras_staa import presets, zoo
from tests.real import ROOT

PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
README = (ROOT / "README.md").read_text("utf-8")


def rows():
    cells = (
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in README.splitlines()
        if line.startswith("| `")
    )
    return {row[0]: row[1:] for row in cells}


def test_every_preset_has_a_row_and_every_row_a_preset():
    assert sorted(rows()) == zoo.list_models()


@pytest.mark.parametrize("name", zoo.list_models())
def test_a_row_says_what_the_preset_says(name):
    preset = zoo.describe(name)
    aliases = [a for a, target in presets.aliases().items() if target == name]
    accuracy = preset["accuracy"]["value"]
    assert rows()[name] == [
        ", ".join(aliases),
        preset["data_set"],
        str(preset["steps"]),
        f"{preset['parameters']:,}",
        f"{preset['bytes'] / 1e6:.1f}",
        f"{accuracy:.2%}",
    ]


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_commands_come_first(command):
    assert README.index(command) < 900


def table_of_backends(page):
    """The first table of times, as `benchmarks/limit.py` printed it."""
    lines = (ROOT / page).read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| backend | width | T |"))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    return lines[start:end]


def test_the_table_of_backends_is_that_of_the_page_on_speed():
    found = table_of_backends("README.md")
    assert len(found) == 5
    assert found == table_of_backends("docs/speed.md")


def test_it_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", sorted(p.relative_to(ROOT).as_posix() for p in PAGES))
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
