"""Replicas on threads, each in the kernels of `dftopt.alloy.compiled`."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dftopt.alloy import compiled
from dftopt.alloy.hamiltonian import Hamiltonian

NAME = "numba"


def _tables(h: Hamiltonian, weighted: bool = True):
    """Arguments that all kernels share, in the layout of `dftopt.alloy.compiled`."""
    kind = "_weighted_tables" if weighted else "_tables"
    if kind not in h.__dict__:  # one frozen object, one packing
        h.__dict__[kind] = packed(h.onsite, h.neighbours, h.weighted if weighted else h.energies)
    return h.__dict__[kind]


def packed(onsite, neighbours, energies):
    """The same from onsite (K,), and neighbours (n, R, k - 1) and energies (sublattices, R, K, ...) for k = 2, 3, 4."""
    e2, e3, e4 = (np.ascontiguousarray(np.moveaxis(e, 2, 1)) for e in energies)
    n2, n3, n4 = (np.ascontiguousarray(near.astype(np.uint32)) for near in neighbours)
    d2 = e2[:, None] - e2[:, :, None]
    return onsite, n2[..., 0], e2, np.ascontiguousarray(d2), n3, e3, n4, e4


def _threads(work, count: int):
    """`work(i)` for every i, on as many threads as cores."""
    if count == 1:
        return [work(0)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(min(cores, count)) as pool:
        return list(pool.map(work, range(count)))


def totals(h: Hamiltonian, codes: np.ndarray) -> np.ndarray:
    """(configurations,) energies, eV."""
    out = np.empty(len(codes))
    parts = np.array_split(np.arange(len(codes)), min(len(codes), 8)) if len(codes) else []
    sublattices = len(h.supercell.parent.basis)

    def work(p):
        rows = slice(parts[p][0], parts[p][-1] + 1)
        compiled.totals(codes[rows].view(np.uint8), out[rows], sublattices, *_tables(h, False))

    _threads(work, len(parts))
    return out + h.constant * len(h.supercell)


def swaps(h: Hamiltonian, states, seeds, energies, kT, attempts: int) -> np.ndarray:
    """Canonical attempts in every replica, in place; accepted numbers (R,).

    Args:
        h: energies.
        states: (R, n) int8.
        seeds: (R, 1) uint64.
        energies: (R,) eV.
        kT: (R,) eV.
        attempts: of every replica.
    """
    return _sweep(h, states, seeds, energies, kT, attempts, compiled.swaps, ())


def flips(h: Hamiltonian, states, seeds, energies, kT, attempts: int, mu) -> np.ndarray:
    """Semi-grand attempts; mu (K,) eV; else as `swaps`."""
    return _sweep(h, states, seeds, energies, kT, attempts, compiled.flips, (np.asarray(mu, float),))


def _sweep(h, states, seeds, energies, kT, attempts, kernel, more):
    tables = _tables(h)
    sublattices = len(h.supercell.parent.basis)

    def work(r):
        energies[r], accepted = kernel(
            states[r].view(np.uint8), seeds[r], energies[r], kT[r], attempts, *more, sublattices, h.simple, *tables
        )
        return accepted

    return np.array(_threads(work, len(states)))


def rates(h: Hamiltonian, geometry, state, vacancies, kra, kT: float):
    """Rates over the prefactor and energy changes (V, z) of all jumps of one configuration."""
    shape = len(vacancies), geometry.hop.shape[1]
    out, changes = np.zeros(shape), np.zeros(shape)
    compiled.jump_rates(
        np.array(state, np.uint8), vacancies, out, changes, geometry.sublattice, geometry.hop, kra, kT, *_tables(h)
    )
    return out, changes


def jumps(h: Hamiltonian, geometry, replicas, until, most: int, kra, prefactor: float, kT: float) -> np.ndarray:
    """Jumps of every replica until its time `until` (R,) or `most`, in place; their numbers (R,)."""
    tables = _tables(h)

    def work(r):
        x = {name: array[r] for name, array in replicas.items()}
        return compiled.jumps(
            x["state"].view(np.uint8), x["seed"], x["clock"], x["energy"], x["vacancies"], x["number"], x["atom"], x["moved"], x["counts"],
            until[r], most, geometry.sublattice, geometry.hop, geometry.vectors, geometry.reach, kra, prefactor, kT, *tables,
        )  # fmt: skip

    return np.array(_threads(work, len(replicas["state"])))
