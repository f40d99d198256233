"""The design matrix: correlations of point functions over the clusters of each orbit, in JAX, batched by number of sites."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import dftopt.precision  # noqa: F401  (double precision before the first array)
from dftopt.alloy.clusters import Orbit
from dftopt.alloy.functions import point_functions
from dftopt.alloy.supercell import Supercell


def coefficient_names(orbits: list[Orbit], functions: int) -> tuple[str, ...]:
    """Of all columns: orbit, and for more than two species the functions on its sites."""
    names = ["constant"]
    for orbit in orbits:
        for alike in orbit.decorations(functions):
            names.append(orbit.name + (f" ({','.join(str(f + 1) for f in alike[0])})" if functions > 1 else ""))
    return tuple(names)


def design_matrix(structures: list[tuple[Supercell, np.ndarray]], orbits: list[Orbit], count: int) -> np.ndarray:
    r"""Rows $\Pi_\alpha = \langle \prod_i \phi_{f_i}(s_i) \rangle$, the means over the clusters of an orbit.

    Args:
        structures: supercells and the species codes (n,) of their sites.
        orbits: of clusters.
        count: number of species.

    Returns:
        (structures, 1 + decorations of all orbits); the first column is 1.
    """
    phi = point_functions(count)
    out = np.ones((len(structures), len(coefficient_names(orbits, count - 1))))
    orders = sorted({o.order for o in orbits})
    tables: dict[bytes, list[np.ndarray]] = {}
    for n in sorted({len(s) for s, _ in structures}):
        rows = [i for i, (s, _) in enumerate(structures) if len(s) == n]
        for i in rows:
            cell = structures[i][0]
            if cell.key not in tables:
                tables[cell.key] = [np.concatenate([cell.clusters(o) for o in orbits if o.order == k]) for k in orders]
        width = max(1, min(64, 2**21 // max(1, sum(t.size for t in tables[structures[rows[0]][0].key]))))
        width = min(width, 1 << (len(rows) - 1).bit_length())
        for begin in range(0, len(rows), width):
            part = (rows[begin : begin + width] + rows[:1] * width)[:width]  # padded: one compiled program per n
            codes = np.stack([structures[i][1] for i in part])
            clusters = [np.stack([tables[structures[i][0].key][j] for i in part]) for j in range(len(orders))]
            counts = tuple(tuple(len(o.instances) for o in orbits if o.order == k) for k in orders)
            means = [np.asarray(t) for t in _means(phi, codes, clusters, counts)]
            column = 1
            for orbit in orbits:
                tensor = means[orders.index(orbit.order)]
                place = [o for o in orbits if o.order == orbit.order].index(orbit)
                for alike in orbit.decorations(count - 1):
                    values = np.mean(
                        [tensor[:, place].reshape(len(tensor), -1)[:, _flat(given, count - 1)] for given in alike],
                        axis=0,
                    )
                    out[rows[begin : begin + width], column] = values[: len(rows) - begin]
                    column += 1
    return out


def _flat(given: tuple[int, ...], functions: int) -> int:
    """Place of some functions in a flattened tensor."""
    out = 0
    for f in given:
        out = out * functions + f
    return out


@partial(jax.jit, static_argnames=("counts",))
def _means(phi, codes, clusters, counts):
    """For every order k: (structures, orbits, F, ..., F) mean products of functions over the clusters of each orbit."""
    values = phi.T[codes]  # (structures, n, F)
    out = []
    for sites, m in zip(clusters, counts, strict=True):
        repeat = sites.shape[1] // sum(m)
        segments = jnp.asarray(np.repeat(np.arange(len(m)), np.array(m) * repeat))
        on_sites = jax.vmap(lambda v, s: v[s])(values, sites)  # (structures, clusters, k, F)
        product = on_sites[:, :, 0]
        for l in range(1, sites.shape[2]):
            nxt = on_sites[:, :, l].reshape(*on_sites.shape[:2], *(1,) * l, -1)
            product = product[..., None] * nxt
        sums = jax.vmap(lambda p, m=m, segments=segments: jax.ops.segment_sum(p, segments, len(m)))(product)
        weight = 1 / (np.array(m) * repeat)
        out.append(sums * weight.reshape(1, -1, *(1,) * sites.shape[2]))
    return out
