"""What a converged molecule tells without derivatives: density at points, dipole, populations, spin."""

import numpy as np

from dftopt.bases import quadrature
from dftopt.errors import InputError

KINDS = ("mulliken", "loewdin")
AT_ONCE = 20_000  # points


def density(result, points=None) -> np.ndarray:
    """Electron density (spin, n) at Cartesian points (n, 3), bohr^-3; default the points of the quadrature grid."""
    coords = result.basis.points.coords if points is None else np.asarray(points, float).reshape(-1, 3)
    d = result.density_matrix()
    parts = [_at(result, d, coords[i : i + AT_ONCE]) for i in range(0, len(coords), AT_ONCE)]
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(d), 0))


def _at(result, d, coords):
    phi = quadrature.values(result.basis.mol, coords, 0)[:, 0]
    return np.stack([np.einsum("ip,ip->p", phi, x @ phi) for x in d])


def orbitals(result, points, spin: int, which) -> np.ndarray:
    """Values (n_orbitals, n) of some orbitals at Cartesian points (n, 3), bohr^-3/2."""
    c = np.asarray(result.psi)[spin, 0, np.atleast_1d(which)]
    coords = np.asarray(points, float).reshape(-1, 3)
    parts = [
        c @ quadrature.values(result.basis.mol, coords[i : i + AT_ONCE], 0)[:, 0]
        for i in range(0, len(coords), AT_ONCE)
    ]
    return np.concatenate(parts, axis=1)


def dipole(result) -> np.ndarray:
    r"""Dipole moment $\sum_a Z_a (R_a - R_0) - \int \rho\, (r - R_0)\, dr$ (3,), e bohr.

    $R_0$ is the centre of nuclear charge, which matters for ions only. Times 2.541746 in debye.
    """
    mol = result.basis.mol
    charges, positions = mol.atom_charges(), mol.atom_coords()
    center = charges @ positions / charges.sum()
    with mol.with_common_orig(center):
        r = mol.intor_symmetric("int1e_r", comp=3)
    return charges @ (positions - center) - np.einsum("xij,ji->x", r, result.density_matrix().sum(axis=0))


def shares(result, kind: str) -> np.ndarray:
    """Electrons of each basis function per spin (spin, functions), see `populations`."""
    if str(kind).lower() not in KINDS:
        raise InputError(f"charges: kind = {kind!r} is unknown; valid: {', '.join(KINDS)}.")
    s, d = result.basis.overlap, result.density_matrix()
    if str(kind).lower() == "mulliken":
        return np.einsum("sij,ji->si", d, s)
    e, u = np.linalg.eigh(s)
    root = (u * np.sqrt(e)) @ u.T
    return np.einsum("ij,sjk,ki->si", root, d, root, optimize=True)


def populations(result, kind: str) -> np.ndarray:
    """Electrons per spin and atom (spin, atoms).

    Args:
        result: of a molecule.
        kind: "mulliken" (shares D S of each function) or "loewdin" (S^1/2 D S^1/2).

    Raises:
        InputError: another kind.

    References:
        Mulliken, J. Chem. Phys. 23, 1833 (1955); Loewdin, J. Chem. Phys. 18, 365 (1950).
    """
    share = shares(result, kind)
    out = np.zeros((len(share), len(result.model.atoms)))
    for i, a in enumerate(result.basis.atom_of):
        out[:, a] += share[:, i]
    return out


def spin_squared(result) -> float:
    """See `MolecularResult.spin_squared`; 0 without spin polarization."""
    if result.model.nspin == 1:
        return 0.0
    d, s = result.density_matrix(), result.basis.overlap
    up, down = (float(np.sum(x * s)) for x in d)
    sz = 0.5 * (up - down)
    return sz * (sz + 1) + down - float(np.einsum("ij,jk,kl,li->", d[0], s, d[1], s, optimize=True))


def to_pyscf(result):
    """A converged mean-field object of PySCF with our orbitals, for its post-processing; nothing is computed.

    Raises:
        InputError: the functional has no name in PySCF.
    """
    from pyscf import dft

    mol = result.basis.mol.copy()
    mol.charge = int(round(result.model.charge))
    mol.spin = int(round(result.magnetization))
    mf = dft.UKS(mol) if result.model.nspin == 2 else dft.RKS(mol)
    mf.xc = "+".join(result.model.functional.terms) or "0*LDA"
    mf.grids.level = result.basis.level
    if result.basis.density_fit:
        from dftopt.bases.integrals import auxiliary_basis

        mf = mf.density_fit(auxbasis=auxiliary_basis(result.basis.mol, result.model.functional.kind))
    both = result.model.nspin == 2
    c, e, f = result.coefficients, result.eigenvalues[:, 0], result.occupations[:, 0]
    mf.mo_coeff, mf.mo_energy, mf.mo_occ = (c, e, f) if both else (c[0], e[0], 2 * f[0])
    mf.e_tot, mf.converged = float(result.energies.total), result.converged
    return mf
