r"""Even-tempered Gaussians with which a density is fitted that is known at points only, and their Coulomb potentials there.

The potential of a solid harmonic Gaussian $S_{lm}(x)\, e^{-\alpha r^2}$ is $(2\pi/\alpha)\, S_{lm}(x)\, F_l(\alpha r^2)$ with the
Boys function $F_l(t) = \int_0^1 u^{2l} e^{-t u^2} du$ (Hobson's theorem), so that integrals of a density with potentials are sums
over points of closed expressions, differentiable in the points.

References:
    Dunlap, Connolly, Sabin, J. Chem. Phys. 71, 3396 (1979); Helgaker, Jorgensen, Olsen, Molecular Electronic-Structure Theory
    (2000), sections 9.7 and 9.8.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from pyscf import gto

WIDEST = 1.4  # smallest exponent, in units of that of the basis functions; products have twice theirs
NARROWER = 3.0  # by how much the largest exponent falls from one angular momentum to the next
DEPENDENT = 1e-10  # eigenvalues of the normalized metric below are left out
SERIES_BELOW, SERIES_TERMS = 2.0, 25


class Fit(NamedTuple):
    """Fitting functions of a molecule, by angular momentum.

    Attributes:
        exponents: for each l (n,), bohr^-2.
        norms: the same.
        atoms: where they are.
        root: (functions, kept) R with R R^T the inverse of the Coulomb metric; rows in the order (l, n, m).
    """

    exponents: tuple[Array, ...]
    norms: tuple[Array, ...]
    atoms: tuple[Array, ...]
    root: Float[Array, "P Q"]


def boys(n: Int[np.ndarray, " k"], t: Float[Array, "k p"]) -> Float[Array, "k p"]:
    """F_n(t) at t >= 0 with absolute errors of about 1e-15, n per row; differentiable."""
    n, small = n[:, None], t < SERIES_BELOW
    x = jnp.where(small, t, 0.0)
    term = jnp.broadcast_to(1 / (2 * n + 1.0), x.shape)
    series = term
    for k in range(1, SERIES_TERMS):
        term = term * (2 / (2 * n + 2 * k + 1)) * x
        series = series + term
    y = jnp.where(small, SERIES_BELOW, t)
    decay, root = jnp.exp(-y), jnp.sqrt(y)
    upward = 0.5 * np.sqrt(np.pi) * jax.scipy.special.erf(root) / root
    for k in range(int(n.max())):
        upward = jnp.where(k < n, ((2 * k + 1) * upward - decay) / (2 * y), upward)
    return jnp.where(small, jnp.exp(-x) * series, upward)


def harmonics(l: int, d: Float[Array, "... 3"]) -> Float[Array, "... m"]:
    """Real solid harmonics S_lm in PySCF's order, normalized on the unit sphere."""
    if l == 0:
        return jnp.full((*d.shape[:-1], 1), np.sqrt(0.25 / np.pi))
    if l == 1:
        return np.sqrt(0.75 / np.pi) * d
    powers = [(i, j, l - i - j) for i in range(l, -1, -1) for j in range(l - i, -1, -1)]
    cartesian = jnp.stack([d[..., 0] ** i * d[..., 1] ** j * d[..., 2] ** k for i, j, k in powers], axis=-1)
    return cartesian @ gto.cart2sph(l)


def functions(mol: gto.Mole, highest: int = 4, ratio: float = 2.0) -> gto.Mole:
    """Functions for products of a molecule's basis functions, and for what smooth deformations make of them.

    Args:
        mol: the molecule.
        highest: largest angular momentum.
        ratio: of neighbouring exponents.
    """
    symbols = [mol.atom_symbol(a) for a in range(mol.natm)]
    shells = {}
    for a, symbol in enumerate(symbols):
        own = np.concatenate([mol.bas_exp(b) for b in range(mol.nbas) if mol.bas_atom(b) == a])
        ladders = [_ladder(WIDEST * own.min(), 2 * own.max() / NARROWER**l, ratio) for l in range(highest + 1)]
        shells[symbol] = [[l, [e, 1.0]] for l, exponents in enumerate(ladders) for e in exponents]
    aux = gto.Mole()
    aux.build(
        atom=list(zip(symbols, mol.atom_coords().tolist(), strict=True)), unit="Bohr", basis=shells, verbose=0,
        spin=sum(gto.charge(s) for s in symbols) % 2, dump_input=False, parse_arg=False,
    )  # fmt: skip
    return aux


def fit(aux: gto.Mole) -> Fit:
    """The fit by some functions."""
    highest = max(aux.bas_angular(b) for b in range(aux.nbas))
    metric, at = aux.intor("int2c2e"), aux.ao_loc_nr()
    exponents, norms, atoms, order = [], [], [], []
    for l in range(highest + 1):
        of_l = [b for b in range(aux.nbas) if aux.bas_angular(b) == l]
        e = np.array([aux.bas_exp(b)[0] for b in of_l])
        exponents.append(jnp.asarray(e))
        norms.append(jnp.asarray(gto.gto_norm(l, e)))
        atoms.append(jnp.asarray([aux.bas_atom(b) for b in of_l]))
        order += [i for b in of_l for i in range(at[b], at[b + 1])]
    size = 1 / np.sqrt(np.diagonal(metric))
    values, vectors = np.linalg.eigh(size[:, None] * metric * size)
    kept = values > DEPENDENT * values[-1]
    root = size[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    return Fit(tuple(exponents), tuple(norms), tuple(atoms), jnp.asarray(root[order]))


def _ladder(lowest: float, highest: float, ratio: float) -> list[float]:
    """Exponents from the lowest to at least the highest; one where that is below."""
    n = max(0, int(np.ceil(np.log(highest / lowest) / np.log(ratio))))
    return [float(lowest * ratio**i) for i in range(n + 1)]


def potentials(points: Float[Array, "p 3"], positions: Float[Array, "atoms 3"], f: Fit) -> Float[Array, "P p"]:
    """Coulomb potentials of the fitting functions at points, hartree per electron."""
    d = points - positions[:, None]
    e, n, at = (jnp.concatenate(x) for x in (f.exponents, f.norms, f.atoms))
    momenta = np.repeat(np.arange(len(f.exponents)), [len(x) for x in f.exponents])
    radial = boys(momenta, e[:, None] * jnp.sum(d * d, axis=-1)[at]) * (2 * np.pi * n / e)[:, None]
    parts = []
    for l, of_l in enumerate(f.atoms):
        angular = harmonics(l, d)[of_l].swapaxes(1, 2)
        parts.append((radial[momenta == l][:, None] * angular).reshape(-1, len(points)))
    return jnp.concatenate(parts)
