"""Short-range order: Warren-Cowley parameters of configurations."""

import numpy as np

from dftopt.alloy.supercell import Supercell


def bond_counts(supercell: Supercell, codes: np.ndarray, shells: int, species: int) -> np.ndarray:
    """(samples, shells, K, K) numbers of bond ends from i to j, symmetric; bonds with codes of K or more (vacancies) left out."""
    codes = np.atleast_2d(codes).astype(np.int64)
    out = np.zeros((len(codes), shells, species, species), np.int64)
    K = species + 1
    ends = np.minimum(codes, species)
    for shell in range(shells):
        near = supercell.neighbours(supercell.parent.shell_vectors(shell + 1))
        for sample, row in enumerate(ends):
            pairs = np.bincount((row[:, None] * K + row[near]).ravel(), minlength=K * K).reshape(K, K)
            out[sample, shell] = pairs[:species, :species]
    return out


def warren_cowley(counts: np.ndarray) -> np.ndarray:
    r"""Parameters $\alpha_{ij} = 1 - P(j | i) / c_j$ of each shell from numbers of bond ends (..., K, K).

    c_i is the fraction of bond ends of the shell at atoms i. Without vacancies it is the composition; with them only so the
    sum rules $\sum_j c_j \alpha_{ij} = 0$ and the symmetry hold exactly. NaN for species that do not occur.

    References:
        Cowley, Phys. Rev. 77, 669 (1950).
    """
    total = counts.sum((-1, -2), keepdims=True)
    c = counts.sum(-1) / total[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - counts / (total * c[..., :, None] * c[..., None, :])


def sro(supercell: Supercell, codes: np.ndarray, shells: int, species: int) -> np.ndarray:
    """(samples, shells, K, K) Warren-Cowley parameters of codes (samples, n)."""
    return warren_cowley(bond_counts(supercell, codes, shells, species))
