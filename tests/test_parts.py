"""That a full run leaves out no case: what one backend does not run, another does."""

import dataclasses

import pytest

from tests import conftest

pytestmark = pytest.mark.once


@dataclasses.dataclass(frozen=True)
class Item:
    nodeid: str
    skipped: bool = False

    def get_closest_marker(self, name):
        assert name == "skipif"
        return self.skipped or None


def test_every_test_has_a_case_in_a_quick_run():
    for count in range(1, 40):
        items = [Item(f"tests/a.py::test[{i}]") for i in range(count)]
        for first in conftest.FIRST.values():
            kept = conftest.part_of_cases(items, conftest.QUICK, first)
            assert len(kept) == -(-count // conftest.QUICK) and set(kept) <= set(items)


def test_in_a_full_run_each_test_of_many_cases_has_some_on_each_backend():
    items = [Item(f"tests/a.py::test_{n}[{i}]") for n in range(40) for i in range(n)]
    items += [Item(f"tests/b.py::test_{n}") for n in range(120)]
    size = conftest.PART
    kept = [conftest.share_of_cases(items, size, first) for first in conftest.FIRST.values()]
    assert not set(kept[0]) & set(kept[1])
    for part in kept:
        names = [item.nodeid.split("[")[0] for item in part]
        # Cases of a test take turns, and tests of one case do so as well.
        for n in range(40):
            assert n // size <= names.count(f"tests/a.py::test_{n}") <= -(-n // size)
        assert 10 <= sum(name.startswith("tests/b.py") for name in names) <= 30


def test_what_only_one_backend_runs_is_run_by_it_in_a_full_run():
    items = [Item(f"tests/c.py::test_{n}[{i}]", skipped=True) for n in range(9) for i in range(4)]
    for first in conftest.FIRST.values():
        assert conftest.share_of_cases(items, conftest.PART, first) == items


def test_large_networks_are_left_out_where_others_stand_for_them():
    names = ["STAAVGG", "STAAResNet18", "STAAResNet34"]
    items = [Item(f"tests/a.py::test[{name}]") for name in names]
    alone = [Item("tests/a.py::other[STAAResNet34]")]
    kept = conftest.part_of_cases([*items, *alone], 1, 0, conftest.LARGE)
    assert [item.nodeid for item in kept] == [items[0].nodeid, alone[0].nodeid]
