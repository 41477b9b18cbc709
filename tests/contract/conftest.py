"""For the tests that schemathesis makes of one function, a call of the API each: with pytest 9.2 all of them have one
id, and of those xdist runs only one."""

from __future__ import annotations

from typing import Any

import pytest

FILES = {"test_fleet_schemathesis.py", "test_openapi_schemathesis.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in FILES and "[" in item.name:
            node: Any = item
            unique = f"{item.nodeid.partition('[')[0]}[{item.name.partition('[')[2]}"
            if hasattr(node, "_id"):
                node._id = type(node._id).parse(unique)
            else:  # before 9.2
                node._nodeid = unique
