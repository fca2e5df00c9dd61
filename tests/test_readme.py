"""The README says of the zoo what the presets say of themselves."""

import pytest

from keras_staa import presets, zoo
from tests.real import ROOT

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
