"""Clusters of sites, gathered into orbits of equivalent ones by the symmetry of the parent lattice."""

from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from dftopt.alloy.parent import TOLERANCE, Parent
from dftopt.errors import InputError

NAMES = {0: "constant", 1: "point", 2: "pair", 3: "triplet", 4: "quadruplet"}


@dataclass(frozen=True, eq=False)
class Orbit:
    """All clusters that symmetry makes equal to one.

    Args:
        instances: (m, k, 4) the m clusters of k sites (b, x, y, z) that belong to one primitive cell; in each the sites are
            in such an order that a symmetry sends site i to site i.
        permutations: (p, k) the reorderings of its sites by symmetries of one cluster.
        shells: of its pairs of sites, in increasing order.
        diameter: longest of its distances, angstrom.
        label: tells apart orbits with the same shells.
    """

    instances: np.ndarray
    permutations: np.ndarray
    shells: tuple[int, ...]
    diameter: float
    label: str = ""

    @property
    def order(self) -> int:
        """Number of sites of a cluster."""
        return self.instances.shape[1]

    @property
    def name(self) -> str:
        """Such as "pair 2" or "triplet 1-1-2": the shells of its pairs."""
        return f"{NAMES[self.order]} {'-'.join(map(str, self.shells))}{self.label}".strip()

    def decorations(self, functions: int) -> list[list[tuple[int, ...]]]:
        """Classes of equivalent assignments of point functions to the sites."""
        seen: set[tuple[int, ...]] = set()
        out = []
        for given in product(range(functions), repeat=self.order):
            if given not in seen:
                alike = sorted({tuple(given[i] for i in p) for p in self.permutations})
                seen.update(alike)
                out.append(alike)
        return out


def orbits(parent: Parent, cutoffs) -> list[Orbit]:
    """Orbits of points, pairs, triplets and quadruplets, by order and diameter.

    Args:
        parent: the lattice.
        cutoffs: largest diameter of pairs, of triplets and of quadruplets, angstrom.

    Raises:
        InputError: no or too many cutoffs, one that is no positive number or leaves no cluster, or triplets that reach
            beyond pairs.
    """
    cutoffs = check_cutoffs(parent, cutoffs)
    distances = parent.shells(cutoffs[0])
    found = [_orbit(parent, np.array([[0, 0, 0, 0]]), distances)]
    last = found
    for order, cutoff in enumerate(cutoffs, start=2):
        near = parent.neighbours(cutoff)
        fresh: dict[bytes, Orbit] = {}
        for orbit in (o for o in last if o.diameter < cutoff + TOLERANCE):
            start = orbit.instances[np.flatnonzero(orbit.instances[:, 0, 0] == 0)[0]]
            start = start - np.r_[0, start[0, 1:]]
            for site in near:
                cluster = np.vstack([start, site])
                apart = np.linalg.norm(parent.position(cluster[:-1]) - parent.position(site), axis=-1)
                if apart.min() < TOLERANCE or apart.max() > cutoff + TOLERANCE:
                    continue
                if _normal(cluster).tobytes() in fresh:
                    continue
                made = _orbit(parent, cluster, distances)
                fresh.update({_normal(c).tobytes(): made for c in made.instances})
        last = sorted({id(o): o for o in fresh.values()}.values(), key=lambda o: (round(o.diameter, 4), o.shells))
        if not last:
            raise InputError(f"cutoffs: no {NAMES[order]}s of the parent lattice are within {cutoff:g} angstrom.")
        found += last
    names = [o.name for o in found]
    return [
        replace(o, label="abcdefghijklmnop"[names[:i].count(o.name)] if names.count(o.name) > 1 else "")
        for i, o in enumerate(found)
    ]


def check_cutoffs(parent: Parent, cutoffs) -> tuple[float, ...]:
    """The cutoffs as numbers; see `orbits` for what is refused."""
    try:
        cutoffs = tuple(float(c) for c in cutoffs)
    except (TypeError, ValueError):
        raise InputError(
            f"cutoffs = {cutoffs!r} must be one number for each of pairs, triplets, ..., angstrom."
        ) from None
    if not 1 <= len(cutoffs) <= 3:
        raise InputError(
            f"cutoffs = {cutoffs} has {len(cutoffs)} numbers; pairs, triplets and quadruplets can have one each."
        )
    if not all(np.isfinite(c) and c > 0 for c in cutoffs) or any(
        b > a for a, b in zip(cutoffs, cutoffs[1:], strict=False)
    ):
        raise InputError(f"cutoffs = {cutoffs} must be positive and must not grow: triplets consist of pairs.")
    if cutoffs[0] > 5 * parent.nearest:
        raise InputError(
            f"cutoffs = {cutoffs}: pairs reach beyond 5 nearest-neighbour distances ({5 * parent.nearest:.1f} A)."
        )
    return cutoffs


def _normal(cluster: np.ndarray) -> np.ndarray:
    """Sites in lexicographic order of (x, y, z, b), the first in the cell 0: the same for all translations."""
    order = np.lexsort((cluster[:, 0], cluster[:, 3], cluster[:, 2], cluster[:, 1]))
    out = cluster[order].copy()
    out[:, 1:] -= out[0, 1:]
    return out


def _orbit(parent: Parent, cluster: np.ndarray, distances: np.ndarray) -> Orbit:
    unique: dict[bytes, np.ndarray] = {}
    permutations = set()
    own = _normal(cluster)
    place = {tuple(site): i for i, site in enumerate((cluster - _origin(cluster)).tolist())}
    for image in parent.moved(cluster):
        image = image - _origin(image)
        key = _normal(image)
        unique.setdefault(key.tobytes(), image)
        if np.array_equal(key, own):
            permutations.add(tuple(place[tuple(site)] for site in image.tolist()))
    apart = [
        np.linalg.norm(parent.position(a) - parent.position(b)) for a, b in combinations(cluster, 2)
    ]  # k (k - 1) / 2 distances
    shells = tuple(sorted(int(abs(distances - d).argmin()) + 1 for d in apart))
    return Orbit(
        np.stack(list(unique.values())), np.array(sorted(permutations)), shells, float(max(apart, default=0.0))
    )


def _origin(cluster: np.ndarray) -> np.ndarray:
    """Cell of the site that `_normal` puts first, as a row to subtract."""
    order = np.lexsort((cluster[:, 0], cluster[:, 3], cluster[:, 2], cluster[:, 1]))
    return np.r_[0, cluster[order[0], 1:]]
