"""Principal components of microscopic states: of snapshots, patch by patch, and of what evolved from them."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dftopt.errors import InputError
from dftopt.macro.data import Increments, rolled
from dftopt.macro.given import freed

COMPONENTS = 12


def features_of(state, function, axes: int) -> np.ndarray:
    """Features (*axes, F) of states with `axes` leading axes: those of `function`, else the states as rows of numbers."""
    leaves = [np.asarray(a) for a in jax.tree.leaves(state)]
    lead = leaves[0].shape[:axes]
    if function is None:
        return np.concatenate([a.reshape(*lead, -1).astype(float) for a in leaves], -1)
    flat = jax.tree.map(lambda a: jnp.asarray(a).reshape(-1, *a.shape[axes:]), state)
    return np.asarray(_features(function, flat)).reshape(*lead, -1)


@partial(jax.jit, static_argnums=0)
def _features(function, states):
    return jax.vmap(function)(states)


@dataclass(frozen=True)
class Rows:
    """Features, or their components, of snapshots and of evolved patches.

    Args:
        x0: (S, K, F) of the K patches of each snapshot.
        which: (m,) the patch of the snapshot that evolved.
        x1: (m, R, F) after.
    """

    x0: np.ndarray
    which: np.ndarray
    x1: np.ndarray


def features_of_rows(data: Increments) -> Rows:
    """Features of the patches of all snapshots, and of the patches that evolved.

    Raises:
        InputError: no microscopic states, rows missing, or patches that do not tile.
    """
    if data.snapshots is None:
        raise InputError("A closure needs microscopic states: macro.sample(..., snapshots=True) keeps them.")
    if data.block is None:
        before = features_of(data.snapshots, data.features, 1)[:, None]
        return Rows(before, np.zeros(len(data), int), features_of(data.evolved, data.features, 2))
    _, first = np.unique(data.snapshot, return_index=True)
    if data.corner is None or len(first) < len(data.states):
        raise InputError("A closure needs rows from every snapshot: learn it before rows are picked.")
    corner = data.corner[first]  # the tiles of a snapshot share the shift of its first row
    sites, block = np.array(data.sites), np.array(data.block)
    offset = (data.corner - corner[data.snapshot]) % sites
    if (offset % block).any():
        raise InputError("The patches of a snapshot do not tile it: leave patches= of macro.sample at its default.")
    before = features_of(data.tiles(rolled(data.snapshots, corner)), data.features, 2)
    inner = data.evolved[(slice(None), slice(None), *(slice(b) for b in data.block))]
    which = np.ravel_multi_index(tuple((offset // block).T), tuple(sites // block))
    return Rows(before, which, features_of(inner, data.features, 2))


def components_of(data: Increments) -> tuple[Rows, np.ndarray, np.ndarray, float]:
    """Principal components of the rows; mean (F,), components (P, F) and the variance they explain."""
    rows = features_of_rows(data)
    flat = rows.x0.reshape(-1, rows.x0.shape[-1])
    mean = flat.mean(0)
    values, vectors = np.linalg.eigh(np.cov(flat.T).reshape(len(mean), len(mean)))
    order = [i for i in np.argsort(values)[::-1][:COMPONENTS] if values[i] > 1e-10 * values.max()]
    components = vectors[:, order].T / np.sqrt(values[order])[:, None]
    return projected(rows, mean, components), mean, components, float(values[order].sum() / values.sum())


def projected(rows: Rows, mean, components) -> Rows:
    """Components of rows of features."""
    return Rows((rows.x0 - mean) @ components.T, rows.which, (rows.x1 - mean) @ components.T)


def free(rows: Rows, data: Increments, of_z, given) -> Rows:
    """Rows freed of what the observables say of them; as they are where nothing is given."""
    if not given:
        return rows
    return Rows(freed(rows.x0, data.states[:, None], of_z, given), rows.which, freed(rows.x1, data.z1, of_z, given))
