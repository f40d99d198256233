"""What the training cells cannot tell: clusters that small periodic cells make equal, and coefficients without data."""

import numpy as np

from dftopt.alloy.clusters import Orbit
from dftopt.alloy.parent import Parent
from dftopt.alloy.supercell import Supercell


def equal_columns(X: np.ndarray, names) -> list[tuple[int, ...]]:
    """Groups of columns that are equal in all rows (to 1e-9), the first of each the one to keep."""
    out: list[tuple[int, ...]] = []
    taken = np.zeros(X.shape[1], bool)
    for i in range(1, X.shape[1]):
        if not taken[i]:
            alike = np.flatnonzero((abs(X - X[:, i : i + 1]).max(0) < 1e-9) & ~taken)
            alike = alike[alike >= i]
            taken[alike] = True
            if len(alike) > 1 and abs(X[:, i]).max() > 1e-9:
                out.append(tuple(int(j) for j in alike))
    return out


def undetermined(X: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(C,) booleans: kept columns that are combinations of earlier ones in all rows, so that shorter clusters do as well."""
    Q = np.zeros((len(X), 0))
    out = np.zeros(X.shape[1], bool)
    for j in np.flatnonzero(kept):
        v = X[:, j].copy()
        for _ in range(2):  # twice is enough for orthogonality
            v -= Q @ (Q.T @ v)
        if np.linalg.norm(v) > 1e-8 * np.sqrt(len(X)):
            Q = np.column_stack([Q, v / np.linalg.norm(v)])
        else:
            out[j] = True
    return out


def aliased_shells(parent: Parent, supercell: Supercell, shells: int) -> list[str]:
    """Which neighbour shells a supercell makes one, in words; empty where it is large enough.

    Two sites that are both within the interaction of a third must be different ones.
    """
    near = [supercell.neighbours(parent.shell_vectors(s + 1)) for s in range(shells)]
    out = []
    for a in range(shells):
        own = near[a][: len(parent.basis)]
        if any(i in row for i, row in enumerate(own.tolist())):
            out.append(f"shell {a + 1} is the site itself")
        elif any(len(set(row)) < len(row) for row in own.tolist()):
            out.append(f"sites of shell {a + 1} coincide")
        for b in range(a):
            if any(set(x) & set(y) for x, y in zip(own.tolist(), near[b].tolist(), strict=False)):
                out.append(f"shell {a + 1} is shell {b + 1}")
    return out


def shells_within(orbits: list[Orbit]) -> int:
    """Number of the farthest shell of any pair."""
    return max((s for o in orbits for s in o.shells), default=0)
