"""Names that a package passes on, each imported from its module when it is first asked for (PEP 562).

A package that imports all its modules makes whoever needs one of them pay for all. `appserver run` would pay twice:
its process begins anew once (`appserver.cli.groups_start`), and what comes before that is to be little.

Type checkers, editors and packagers read the ordinary imports beside the table, under `TYPE_CHECKING`; they never see
the function, with which every name would seem to exist. `tests/test_lazy.py` compares the two.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` of a package.

    Args:
        package: its name.
        homes: modules, and the names that are imported from each, with spaces between them.

    Returns:
        Both functions. Nothing is kept: `from package import name` asks once, as it is.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def get(name: str) -> object:
        home = home_of.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home), name)

    return get, lambda: sorted(home_of)
