"""What classical vision can say of a print without a model (camera faults so far)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

MOST_PRINTS = 64


class Watch:
    """What is known of one camera in one print."""

    def look(self, pixels: Any, masks: Sequence[Any], expected: Any) -> tuple[list[list[Any]], list[str]]:
        del pixels, masks, expected
        return [], []


class Watches:
    """A Watch a print and camera; the ones that were not asked for longest are forgotten."""

    def __init__(self) -> None:
        self._watches: OrderedDict[tuple[Any, ...], Watch] = OrderedDict()

    def look(
        self, key: tuple[Any, ...], pixels: Any, masks: Sequence[Any], expected: Any
    ) -> tuple[list[list[Any]], list[str]]:
        watch = self._watches.pop(key, None) or Watch()
        self._watches[key] = watch
        while len(self._watches) > MOST_PRINTS:
            self._watches.popitem(last=False)
        return watch.look(pixels, masks, expected)
