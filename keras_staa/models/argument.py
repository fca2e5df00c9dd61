"""One argument of a network: all that is known of it in one place.

Signature, documentation, checks, and what a preset does with an argument follow from it.
"""

import dataclasses
import inspect
import textwrap
import typing

from keras_staa import checks

# What a preset does with an argument:
FIXED = "fixed"  # Another value than the preset's would make other weights: refused.
RESHAPES = "reshapes"  # Weights whose shape depends on it are transferred.
FREE = "free"  # No weight depends on it. The preset's value is the default.
ABSENT = "absent"  # A preset does not keep it.
ROLES = (FIXED, RESHAPES, FREE, ABSENT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Argument:
    """An argument of a network.

    Args:
        name: string.
        default: its value where none is given.
        text: string, its documentation.
        check: function `(name, value) -> value` that raises a ValueError for a bad value, such as
            `keras_staa.checks.positive_int`.
        in_presets: `"fixed"` if weights depend on it in a way that no other value can take them,
            `"reshapes"` if they can be transferred, `"free"` if no weight depends on it, or
            `"absent"` if presets do not keep it.
        keyword_only: whether it must be given by keyword.
    """

    name: str
    default: object
    text: str
    check: typing.Callable
    in_presets: str
    keyword_only: bool = True

    def __post_init__(self):
        checks.choice("in_presets", self.in_presets, ROLES)


def signature(table):
    """Return the `inspect.Signature` of a factory."""
    kinds = {False: inspect.Parameter.POSITIONAL_OR_KEYWORD, True: inspect.Parameter.KEYWORD_ONLY}
    return inspect.Signature(
        inspect.Parameter(a.name, kinds[a.keyword_only], default=a.default) for a in table
    )


def documentation(table):
    """Return the section "Args" of a factory's docstring."""
    indents = {"initial_indent": "    ", "subsequent_indent": "        "}
    entries = (textwrap.fill(f"{a.name}: {a.text}", 96, **indents) for a in table)
    return "Args:\n" + "\n".join(entries)


def named(table, *roles):
    """Return the names of the arguments that presets treat in one of some ways."""
    return tuple(a.name for a in table if a.in_presets in roles)
