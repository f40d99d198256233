"""Array sizes that only grow, so that one structure after another runs the same compiled programs."""

from collections.abc import Callable, Mapping

import numpy as np

GROWTH = 0.04  # by which a cell may still grow (linearly) after its arrays had to


class Sizes:
    """Sizes of padded arrays by name: those of an earlier structure where they suffice, else new ones with some room.

    What is padded is masked, so that numbers do not depend on it.

    Args:
        kept: sizes of an earlier structure.
        room: fraction by which cell vectors may grow before a size has to.
        needed: what this structure needs; where one of the kept sizes is too small all of them grow, by `GROWTH` at
            least, since everything is compiled anew.
    """

    def __init__(
        self, kept: Mapping[str, int] | None = None, room: float = 0.0, needed: Mapping[str, int] | None = None
    ):
        self._kept = dict(kept or {})
        self.grows = any(n > self._kept.get(name, n) for name, n in (needed or {}).items())
        self._room = max(room, GROWTH) if self.grows else room
        self._used: dict[str, int] = {}

    def fit(self, name: str, needed: int, size: Callable[[float], int], exact: bool = False) -> int:
        """The size of an array that must hold `needed` rows; one answer per name.

        Args:
            name: of the array.
            needed: rows.
            size: a new size for a cell that may grow by the given fraction.
            exact: no room in a first size, only in one that had to grow.
        """
        if name not in self._used:
            kept = self._kept.get(name)
            if kept is not None and needed <= kept and not self.grows:
                self._used[name] = kept
            else:
                self._used[name] = max(kept or 0, size(self._room if self.grows or not exact else 0.0))
        return self._used[name]

    def as_dict(self) -> dict[str, int]:
        """All sizes, for the next structure or a file."""
        return {**self._kept, **self._used}


def rows_for(needed: int, room: float, quantum: int) -> int:
    """Rows for about `needed` (1 + room)^3 vectors, a multiple of `quantum`."""
    return int(-(-int(np.ceil(needed * (1 + room) ** 3)) // quantum) * quantum)


def padded(rows: np.ndarray, size: int, fill=0) -> np.ndarray:
    """Rows (n, ...) and `fill` below them, (size, ...)."""
    out = np.full((size, *rows.shape[1:]), fill, rows.dtype)
    out[: len(rows)] = rows
    return out
