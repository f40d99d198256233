"""A lattice of conventional cells as plain arrays, for simulators that know nothing of expansions."""

import numpy as np

from dftopt.alloy.equilibrium import counts_of
from dftopt.alloy.hamiltonian import ORDERS, hamiltonian
from dftopt.alloy.kinetics import check_barriers, check_large
from dftopt.alloy.parent import Parent
from dftopt.alloy.supercell import Supercell
from dftopt.alloy.walks import walks

SEAM_SHELLS = 3  # whose bonds are mended where two lattices are put together, also where fewer are observed


def cells(ce, size, composition, barriers, vacancies: int | None = None, shells: int = 1) -> dict:
    """Everything of an expansion that vacancy jumps on a lattice of conventional cells need.

    Sites are (x, y, z, b): cell and site in it. Energies are those of `dftopt.alloy.hamiltonian`.

    Args:
        ce: a ClusterExpansion.
        size: conventional cells along each axis.
        composition: fraction or number of sites by symbol.
        barriers: eV by symbol.
        vacancies: empty sites; default one per 1,024 sites.
        shells: of neighbours whose order is observed.

    Returns:
        species, sites, basis, counts, barriers, onsite, energies, clusters, shells, walks; see `dftopt.macro.alloy_ordering`.

    Raises:
        InputError: as `vacancy_kmc`.
    """
    supercell = Supercell.of(ce.parent, size)
    check_large(ce, supercell)
    kra = check_barriers(ce, barriers)
    vacancies = max(1, len(supercell) // 1024) if vacancies is None else int(vacancies)
    counts = counts_of(ce, supercell, composition, vacancies)
    parent = ce.parent
    unit = Supercell(parent, parent.conventional)
    h = hamiltonian(ce, supercell, True)
    kept = [k for k, e in enumerate(h.energies) if e.shape[1]]
    sublattice = unit.sites[:, 0]
    unit_energies = [e[sublattice] for e in h.energies]
    clusters = []
    for k in range(len(ORDERS)):
        vectors = _vectors(ce, ORDERS[k])
        clusters.append(_relative(parent, unit, [vectors[b] for b in sublattice]))
    around = [parent.shell_vectors(s + 1) for s in range(max(shells, SEAM_SHELLS))]
    near = [_relative(parent, unit, [shell[b] for b in sublattice]) for shell in around]
    seen = near[:shells]
    return {
        "species": ce.species,
        "sites": tuple(int(x) for x in size),
        "basis": len(unit),
        "counts": tuple(int(c) for c in counts),
        "barriers": kra[:-1],
        "onsite": h.onsite,
        "energies": tuple(unit_energies[k] for k in kept),
        "clusters": tuple(_nested(clusters[k]) for k in kept),
        "shells": tuple(_nested(shell) for shell in seen),
        "walks": walks(kra, h.onsite, clusters, unit_energies, seen, near),
    }


def _vectors(ce, order: int) -> list[np.ndarray]:
    """For each sublattice (R, k - 1, 4) the other sites of its clusters, in the order of `hamiltonian`."""
    out: list[list] = [[] for _ in range(len(ce.parent.basis))]
    for orbit in ce.orbits:
        if orbit.order == order:
            for instance in orbit.instances:
                for own in range(order):
                    others = np.delete(instance, own, 0)
                    others[:, 1:] -= instance[own, 1:]
                    out[int(instance[own, 0])].append(others)
    return [np.array(o, int).reshape(-1, order - 1, 4) for o in out]


def _relative(parent: Parent, unit: Supercell, vectors) -> np.ndarray:
    """(basis, ..., 4) rows (x, y, z, b) of sites given by rows (b, x, y, z) relative to each site of the conventional cell."""
    inverse = np.linalg.inv(parent.conventional)
    out = []
    for own, near in zip(unit.sites, vectors, strict=True):
        every = near.copy()
        every[..., 1:] += own[1:]
        inside = unit.index(every)
        home = unit.sites[inside]
        moved = np.rint((every[..., 1:] - home[..., 1:]) @ inverse).astype(int)
        out.append(np.concatenate([moved, inside[..., None]], -1))
    return np.array(out)


def _nested(array: np.ndarray):
    """Hashable."""
    return tuple(_nested(a) for a in array) if array.ndim else int(array)
