"""A mapping whose entries are computed when they are read."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class WhenRead(Mapping):
    """Entries by name, each computed once, so that a refusal concerns it alone.

    Args:
        entries: functions of this object by the name of what they return.
    """

    def __init__(self, entries: Mapping[str, Callable]):
        self._entries = entries
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str):
        if name not in self._entries:
            raise KeyError(f"{name!r}: there are {', '.join(self._entries)}")
        if name not in self._known:
            self._known[name] = self._entries[name](self)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
