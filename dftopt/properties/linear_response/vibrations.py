"""Modes of vibration from force constants, and how strongly they absorb light."""

import numpy as np
from ase import units as ase_units

INVERSE_CM = ase_units.Hartree / ase_units.invcm  # cm^-1 per hartree
ELECTRON_MASSES = ase_units._amu / ase_units._me  # per atomic mass unit
# N_A e^2 / (12 epsilon_0 c^2 u) in km/mol: integrated absorption of a mode with |d dipole / dQ| = e / sqrt(atomic mass unit)
KM_PER_MOL = ase_units._Nav * ase_units._e**2 / (12 * ase_units._eps0 * ase_units._c**2 * ase_units._amu) / 1e3


def modes(phi, masses, forbidden=None) -> tuple[np.ndarray, np.ndarray]:
    """Normal modes of force constants.

    Args:
        phi: (3N, 3N), hartree/bohr^2.
        masses: (N,) atomic mass units.
        forbidden: displacements (n, 3N) that cost nothing; their modes are exactly zero. Default none.

    Returns:
        Frequencies (3N,), ascending, cm^-1, imaginary ones negative, and displacements (3N, N, 3) of unit norm.
    """
    root = np.sqrt(np.repeat(np.asarray(masses) * ELECTRON_MASSES, 3))
    d = 0.5 * (phi + phi.T) / np.outer(root, root)
    if forbidden is not None and len(forbidden):
        q, s, _ = np.linalg.svd((np.asarray(forbidden) * root).T, full_matrices=False)
        q = q[:, s > 1e-8 * s[0]]
        out = np.eye(len(d)) - q @ q.T
        d = out @ d @ out
    squares, vectors = np.linalg.eigh(d)
    u = (vectors / root[:, None]).T
    u = u / np.linalg.norm(u, axis=1, keepdims=True)
    return frequencies(squares), u.reshape(len(u), -1, 3)


def acoustic(phi) -> np.ndarray:
    """Force constants (3N, 3N) whose self terms are minus the sums of the others: translations cost nothing."""
    n = len(phi) // 3
    blocks = phi.reshape(n, 3, n, 3).copy()
    for i in range(n):
        blocks[i, :, i, :] -= blocks[i].sum(axis=1)
    return blocks.reshape(3 * n, 3 * n)


def frequencies(squares) -> np.ndarray:
    """Wave numbers (cm^-1) of squared angular frequencies (atomic units), those of negative ones negative."""
    return np.sign(squares) * np.sqrt(np.abs(squares)) * INVERSE_CM


def infrared(charges, displacements, masses) -> np.ndarray:
    r"""Integrated absorption of modes, km/mol (n,): $\frac{N_A}{12\,\epsilon_0 c^2} |\partial\mu/\partial Q|^2$.

    Args:
        charges: derivatives of the dipole, (N, 3, 3): d mu_b / dR_a of atom i at [i, a, b]; e.
        displacements: of the modes (n, N, 3), of any norm.
        masses: (N,) atomic mass units.

    References:
        Wilson, Decius, Cross, Molecular Vibrations (1955), section 7.9; Porezag, Pederson, Phys. Rev. B 54, 7830 (1996).
    """
    u = np.asarray(displacements)
    norm = np.sqrt(np.einsum("nia,i->n", u**2, np.asarray(masses)))
    slope = np.einsum("iab,nia->nb", charges, u) / norm[:, None]
    return KM_PER_MOL * np.sum(slope**2, axis=1)


def rigid_motions(positions) -> np.ndarray:
    """Three translations and three rotations of atoms at (N, 3), as displacements (6, 3N)."""
    x = np.asarray(positions) - np.mean(positions, axis=0)
    turns = [np.cross(axis, x) for axis in np.eye(3)]
    return np.array([np.broadcast_to(axis, x.shape).ravel() for axis in np.eye(3)] + [t.ravel() for t in turns])
