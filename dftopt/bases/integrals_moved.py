"""Integrals over Gaussians and the atoms' first-order effect on them; host side, from PySCF.

Basis functions, nuclei and quadrature points move with their atoms. `grad` below is the gradient of a function in space:
its derivative in the position of its atom is minus that.
"""

import numpy as np
from pyscf import ao2mo, gto

from dftopt.bases import quadrature


def integrals_moved(mol: gto.Mole, grid: quadrature.Points, numbers, kind: str) -> dict[str, np.ndarray]:
    """Arrays for `energy_of` and `moments_of` of `properties.implicit.molecule`.

    Args:
        mol: the molecule.
        grid: its quadrature points.
        numbers: atomic numbers.
        kind: of the functional.

    Returns:
        `overlap`, `core`, `repulsion` (pairs i >= j) and `position` at the atoms' places, and with `d_` the same with the
        gradient of the first function (3, ...); `pull` (atoms, 3, nao, nao), the derivative of the core Hamiltonian in the
        potential of each nucleus; `values` of the functions at the points with one more derivative than `kind` needs.
    """
    n, charges = mol.nao_nr(), mol.atom_charges()
    has_ecp = mol.has_ecp()
    cores = set(mol._ecpbas[:, gto.ATOM_OF]) if has_ecp else set()
    core = mol.intor_symmetric("int1e_kin") + mol.intor_symmetric("int1e_nuc")
    d_core = mol.intor("int1e_ipkin", comp=3) + mol.intor("int1e_ipnuc", comp=3)
    if has_ecp:
        core, d_core = core + mol.intor("ECPscalar"), d_core + mol.intor("ECPscalar_ipnuc", comp=3)
    pull = np.empty((mol.natm, 3, n, n))
    for a in range(mol.natm):
        with mol.with_rinv_at_nucleus(a):
            pull[a] = -charges[a] * mol.intor("int1e_iprinv", comp=3)
            if a in cores:
                pull[a] += mol.intor("ECPscalar_iprinv", comp=3)
    d_repulsion = mol.intor("int2e_ip1", comp=3, aosym="s2kl").reshape(3, n, n, -1)
    slices = mol.aoslice_by_atom()
    return {
        "positions": mol.atom_coords(), "charges": charges.astype(float),
        "atom_of": np.repeat(np.arange(mol.natm), slices[:, 3] - slices[:, 2]),
        "overlap": mol.intor_symmetric("int1e_ovlp"), "d_overlap": mol.intor("int1e_ipovlp", comp=3),
        "core": core, "d_core": d_core, "pull": pull + pull.swapaxes(-1, -2),
        "repulsion": ao2mo.restore(4, mol.intor("int2e", aosym="s8"), n), "d_repulsion": d_repulsion,
        "position": mol.intor_symmetric("int1e_r", comp=3),
        "d_position": mol.intor("int1e_irp", comp=9).reshape(3, 3, n, n).swapaxes(-1, -2),
        "values": np.ascontiguousarray(quadrature.values(mol, grid.coords, 1 if kind in ("none", "lda") else 2)),
        "coords": grid.coords, "atom": grid.atom, "volume": grid.volume,
        "adjustment": quadrature.radii_adjustment(np.asarray(numbers)),
    }  # fmt: skip


def memory_gib(nao: int, points: int, kind: str) -> float:
    """Size of the large ones."""
    return 8 * (3 * nao**3 * (nao + 1) / 2 + nao * points * (4 if kind in ("none", "lda") else 10)) / 2**30
