"""Quadrature on atom-centred grids, and the values of basis functions there, in blocks of neighbouring points."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.spatial
from jaxtyping import Array, Float, Int
from pyscf import gto
from pyscf.data.radii import BRAGG
from pyscf.dft import gen_grid

from dftopt.bases.handover import empty, on_device

NEGLIGIBLE = 1e-9  # a function below this, with its gradient, at all points of a block is left out there
UNSCREENED = 120  # with so few functions nothing is left out
NEIGHBOURS = 2.0  # bohr; about how far a block reaches around one of its points
BLOCK_BYTES = 2**22  # values of a block: they should stay in the cache


class Points(NamedTuple):
    """Quadrature points.

    Attributes:
        coords: (n, 3) bohr.
        weights: (n,) bohr^3.
        atom: (n,) the atom that each point moves with.
        volume: (n,) weight of the point in its atom's own grid, before space is divided among the atoms.
    """

    coords: np.ndarray
    weights: np.ndarray
    atom: np.ndarray
    volume: np.ndarray


class Blocks(NamedTuple):
    """Blocks of points with the basis functions that are not negligible there.

    Attributes:
        values: (blocks, functions, c, points) values of functions, for c = 4 followed by their gradients.
        functions: (blocks, functions) their numbers; None for all of them.
        weights: (blocks, points) bohr^3; zero on padding.
    """

    values: Float[Array, "n a c p"]
    functions: Int[Array, "n a"] | None
    weights: Float[Array, "n p"]


def _grids(mol: gto.Mole, level: int) -> gen_grid.Grids:
    grids = gen_grid.Grids(mol)
    grids.level, grids.verbose = level, 0
    return grids


def count(mol: gto.Mole, level: int) -> int:
    """Number of points, without computing their weights."""
    table = _grids(mol, level).gen_atomic_grids(mol, level=level)
    return sum(len(table[mol.atom_symbol(i)][1]) for i in range(mol.natm))


def functions_per_point(mol: gto.Mole, level: int) -> float:
    """About how many functions `blocks` keeps at a point, from a sample of points; grids are not computed."""
    if mol.nao_nr() <= UNSCREENED:
        return mol.nao_nr()
    table, atoms = _grids(mol, level).gen_atomic_grids(mol, level=level), mol.atom_coords()
    some = np.unique(np.linspace(0, mol.natm - 1, 40).astype(int))
    spheres = {symbol: coords[:: max(1, len(coords) // 50)] for symbol, (coords, _) in table.items()}
    sample = [atoms[i] + spheres[mol.atom_symbol(i)] for i in some]
    distance = scipy.spatial.distance.cdist(np.concatenate(sample), atoms)[:, mol._bas[:, gto.ATOM_OF]]
    return float((distance < _reach(mol) + NEIGHBOURS).dot(np.diff(mol.ao_loc_nr())).mean())


def points(mol: gto.Mole, level: int) -> Points:
    """PySCF's grid of a level, without its padding."""
    grids = _grids(mol, level).build(with_non0tab=False, sort_grids=True)
    n = len(grids.atm_idx)  # its padding has no atom
    keep = np.arange(len(grids.weights)) < n
    keep[:n] &= grids.atm_idx[:n] >= 0
    keep &= grids.weights != 0
    return Points(
        grids.coords[keep], grids.weights[keep], grids.atm_idx[keep[:n]].astype(int), grids.quadrature_weights[keep[:n]]
    )


def values(mol: gto.Mole, coords: np.ndarray, derivatives: int) -> np.ndarray:
    """Basis functions at points, (nao, c, points): c = 1, 4 or 10 for derivatives up to order 0, 1 or 2."""
    found = mol.eval_gto(f"GTOval_sph_deriv{derivatives}" if derivatives else "GTOval_sph", coords)
    found = found[None] if derivatives == 0 else found
    return found.transpose(2, 0, 1)  # PySCF's memory order is (c, nao, points)


def block_size(nao: int, components: int) -> int:
    """Points of a block, a multiple of 64."""
    return int(np.clip(BLOCK_BYTES // (8 * nao * components) // 64 * 64, 256, 4096))


def blocks(mol: gto.Mole, grid: Points, derivatives: int) -> tuple[Blocks, ...]:
    """Values on all points, in at most three groups of blocks with equally many functions each.

    Args:
        mol: the molecule.
        grid: its points.
        derivatives: 0 for LDA, 1 beyond it.
    """
    nao, components = mol.nao_nr(), 4 if derivatives else 1
    screened = nao > UNSCREENED
    size = block_size(nao // 2 if screened else nao, components)
    number = -(-len(grid.weights) // size)
    weights = np.zeros((number, size))
    weights.reshape(-1)[: len(grid.weights)] = grid.weights
    coords = [grid.coords[i * size : (i + 1) * size] for i in range(number)]
    if not screened:
        out = empty((number, nao, components, size))
        for block, c in zip(out, coords, strict=True):
            _put(block, values(mol, c, derivatives))
        return (Blocks(on_device(out), None, jnp.asarray(weights)),)
    seen = _shells_seen(mol, coords)
    width = np.diff(mol.ao_loc_nr())
    counts = seen @ width
    groups = []
    order = np.argsort(counts, kind="stable")
    for members in np.array_split(order, 3 if number >= 6 else 1):
        most = -(-int(counts[members].max()) // 8) * 8
        index = np.zeros((len(members), most), np.int32)  # padding adds the zeros of its values to function 0
        out = empty((len(members), most, components, size))
        part = mol.copy(deep=False)
        for row, i in enumerate(members):
            part._bas = mol._bas[seen[i]]  # the shells that reach the block, one call for them
            index[row, : counts[i]] = np.flatnonzero(np.repeat(seen[i], width))
            _put(out[row], values(part, coords[i], derivatives) if counts[i] else np.zeros((0, components, 0)))
        groups.append(Blocks(on_device(out), jnp.asarray(index), jnp.asarray(weights[members])))
    return tuple(groups)


def _put(block: np.ndarray, v: np.ndarray) -> None:
    """Values (functions, c, points) into a block that may be larger: zeros beyond them."""
    n, _, points = v.shape
    block[:n, :, :points] = v
    block[n:], block[:, :, points:] = 0.0, 0.0


def _shells_seen(mol: gto.Mole, coords: list[np.ndarray]) -> np.ndarray:
    """Which shells are not negligible in which block of points (blocks, shells)."""
    centers, reach = mol.atom_coords(), _reach(mol)
    atom = mol._bas[:, gto.ATOM_OF]
    nearest = np.stack([scipy.spatial.distance.cdist(centers, c).min(axis=1) for c in coords])
    return nearest[:, atom] < reach


def _reach(mol: gto.Mole) -> np.ndarray:
    r"""Distance (shells,) beyond which no function of a shell, nor its gradient, exceeds `NEGLIGIBLE`.

    The real $f(r) Y_{lm}$ of one l obey $\sum_m Y_{lm}^2 = (2l+1)/4\pi$ and
    $\sum_m |\nabla Y_{lm}|^2 = l(l+1)(2l+1)/4\pi r^2$.
    """
    r = np.linspace(0.01, 60, 6000)
    out = np.zeros(mol.nbas)
    known: dict[bytes, float] = {}
    for b in range(mol.nbas):
        l, a, c = mol.bas_angular(b), mol.bas_exp(b), mol._libcint_ctr_coeff(b)
        key = np.concatenate([[l], a, c.ravel()]).tobytes()
        if key not in known:
            gauss = np.exp(-a * r[:, None] ** 2)
            f = (r**l)[:, None] * (gauss @ c)
            slope = (l * r ** max(l - 1, 0))[:, None] * (gauss @ c) - (r ** (l + 1))[:, None] * (
                gauss @ (2 * a[:, None] * c)
            )
            most = np.maximum(f**2, slope**2 + l * (l + 1) * (f / r[:, None]) ** 2).max(axis=1)
            large = np.flatnonzero(most * (2 * l + 1) / (4 * np.pi) > NEGLIGIBLE**2)
            known[key] = r[large[-1] + 1] if len(large) and large[-1] + 1 < len(r) else (np.inf if len(large) else 0.0)
        out[b] = known[key]
    return out


def radii_adjustment(numbers: np.ndarray) -> np.ndarray:
    """Treutler's shift (atoms, atoms) of the border between two atoms, from the roots of their Bragg radii."""
    root = np.sqrt(BRAGG[np.asarray(numbers)])
    ratio = root[:, None] / root[None, :]
    return np.clip(0.25 * (ratio.T - ratio), -0.5, 0.5)


def becke_weights(
    positions: Float[Array, "atoms 3"],
    coords: Float[Array, "n 3"],
    atom: Int[Array, "n"],
    volume: Float[Array, "n"],
    adjustment: Float[Array, "atoms atoms"],
) -> Float[Array, "n"]:
    r"""Weights of points, their volumes times Becke's share $P_a / \sum_b P_b$ of their atom; differentiable.

    $P_a = \prod_b s(\nu_{ab})$, $\nu = \mu + a (1 - \mu^2)$, $\mu_{ab} = (r_a - r_b) / R_{ab}$, s the threefold smooth step.

    References:
        Becke, J. Chem. Phys. 88, 2547 (1988), equations 11 and 19 to 22.
    """
    natoms = len(positions)
    r = jnp.sqrt(jnp.sum((coords[:, None] - positions) ** 2, axis=-1))
    apart = jnp.sum((positions[:, None] - positions) ** 2, axis=-1)
    same = jnp.eye(natoms, dtype=bool)
    inverse = jnp.where(same, 0.0, 1 / jnp.sqrt(jnp.where(same, 1.0, apart)))
    mu = (r[:, :, None] - r[:, None, :]) * inverse
    nu = mu + adjustment * (1 - mu**2)
    for _ in range(3):
        nu = 0.5 * nu * (3 - nu**2)
    share = jnp.prod(jnp.where(same, 1.0, 0.5 * (1 - nu)), axis=2)
    own = jnp.take_along_axis(share, atom[:, None], axis=1)[:, 0]
    return volume * own / jnp.sum(share, axis=1)


becke_weights_jit = jax.jit(becke_weights)
