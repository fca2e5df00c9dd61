"""That a full run leaves out no case: what one backend does not run, another does."""

import dataclasses

import pytest

from tests import conftest

pytestmark = pytest.mark.once


@dataclasses.dataclass(frozen=True)
class Item:
    nodeid: str


@pytest.mark.parametrize("size", [conftest.FULL, conftest.QUICK])
def test_every_test_has_a_case_and_none_runs_twice_where_there_are_enough(size):
    for count in range(1, 40):
        items = [Item(f"tests/a.py::test[{i}]") for i in range(count)]
        kept = [
            [item.nodeid for item in conftest.part_of_cases(items, size, first)]
            for first in conftest.FIRST.values()
        ]
        assert all(len(part) == -(-count // size) for part in kept)
        if size == conftest.FULL:
            assert set(kept[0]) | set(kept[1]) == {item.nodeid for item in items}


def test_large_networks_are_left_out_where_others_stand_for_them():
    names = ["STAAVGG", "STAAResNet18", "STAAResNet34"]
    items = [Item(f"tests/a.py::test[{name}]") for name in names]
    alone = [Item("tests/a.py::other[STAAResNet34]")]
    kept = conftest.part_of_cases([*items, *alone], 1, 0, conftest.LARGE)
    assert [item.nodeid for item in kept] == [items[0].nodeid, alone[0].nodeid]
