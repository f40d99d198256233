r"""Exponents and contraction coefficients of a basis as traced parameters.

Integrals of primitives $S_{lm}(x)\, e^{-\alpha r^2}$ come from PySCF; they are functions of the exponents for JAX, whose derivative
is exact: that of a primitive is $-r^2$ times it, a combination of Cartesian functions of angular momentum l + 2. Norms and
contraction, and values on the quadrature grid, are written in JAX.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from pyscf import gto

from dftopt.bases.even_tempered import harmonics
from dftopt.errors import InputError


class Shell(NamedTuple):
    """Shape of a contracted shell: angular momentum, primitives, contracted functions."""

    l: int
    primitives: int
    contracted: int


@dataclass(frozen=True)
class Pattern:
    """What does not change with parameters; hashable.

    Attributes:
        symbols: of the atoms.
        positions: of the atoms, bohr.
        shells: of each element, in PySCF's order.
    """

    symbols: tuple[str, ...]
    positions: tuple[tuple[float, float, float], ...]
    shells: tuple[tuple[str, tuple[Shell, ...]], ...]

    @property
    def all_shells(self) -> list[tuple[int, int, Shell]]:
        """Atom, number within its element and shape of every shell."""
        table = dict(self.shells)
        return [(a, i, shell) for a, s in enumerate(self.symbols) for i, shell in enumerate(table[s])]


class Primitives(NamedTuple):
    """Integrals of n primitives: overlap, kinetic energy, attraction (n, n), repulsion of pairs i >= j (pairs, pairs)."""

    overlap: Array
    kinetic: Array
    attraction: Array
    repulsion: Array


def pattern(mol: gto.Mole) -> Pattern:
    """The pattern of a molecule's basis."""
    symbols = tuple(mol.atom_pure_symbol(a) for a in range(mol.natm))
    shells = {
        s: tuple(Shell(mol.bas_angular(b), mol.bas_nprim(b), mol.bas_nctr(b)) for b in _of_first(mol, s))
        for s in symbols
    }
    return Pattern(symbols, tuple(map(tuple, mol.atom_coords().tolist())), tuple(shells.items()))


def parameters(mol: gto.Mole) -> dict:
    """`exponents` (bohr^-2) and `coefficients` (primitives, functions; of normalized primitives) by element and shell."""
    symbols = dict.fromkeys(mol.atom_pure_symbol(a) for a in range(mol.natm))
    return {
        "exponents": {s: tuple(jnp.asarray(mol.bas_exp(b)) for b in _of_first(mol, s)) for s in symbols},
        "coefficients": {s: tuple(jnp.asarray(mol.bas_ctr_coeff(b)) for b in _of_first(mol, s)) for s in symbols},
    }


def _of_first(mol: gto.Mole, symbol: str) -> list[int]:
    """Shells of the first atom of an element."""
    first = next(a for a in range(mol.natm) if mol.atom_pure_symbol(a) == symbol)
    return list(mol.atom_shell_ids(first))


def as_basis(params: dict, p: Pattern) -> dict:
    """Parameters as `dftopt.Gaussians` takes them: for each element a list of [l, [exponent, coefficients ...], ...]."""
    out = {}
    for s, shells in p.shells:
        rows = zip(shells, params["exponents"][s], params["coefficients"][s], strict=True)
        out[s] = [
            [shell.l, *([float(e), *map(float, row)] for e, row in zip(es, np.asarray(c), strict=True))]
            for shell, es, c in rows
        ]
    return out


# ---------------------------------------------------------------------------------------------------- integrals


def _powers(l: int) -> list[tuple[int, int, int]]:
    return [(i, j, l - i - j) for i in range(l, -1, -1) for j in range(l - i, -1, -1)]


def _raising(l: int) -> np.ndarray:
    """r^2 S_lm in Cartesian monomials of degree l + 2, (monomials, 2 l + 1)."""
    rows, up = gto.cart2sph(l), _powers(l + 2)
    out = np.zeros((len(up), 2 * l + 1))
    for n, power in enumerate(_powers(l)):
        for axis in range(3):
            i, j, k = (x + 2 * (axis == m) for m, x in enumerate(power))
            out[up.index((i, j, k))] += rows[n]
    return out


def _block_diagonal(parts: list[np.ndarray]) -> np.ndarray:
    out = np.zeros(np.sum([x.shape for x in parts], axis=0))
    i = j = 0
    for x in parts:
        out[i : i + len(x), j : j + x.shape[1]] = x
        i, j = i + len(x), j + x.shape[1]
    return out


def _uncontracted(p: Pattern, exponents: dict, more: int) -> gto.Mole:
    """Primitives exp(-alpha r^2) times monomials of degree l + `more`, not normalized."""
    labels = [f"{s}{a}" for a, s in enumerate(p.symbols)]
    shells: dict[str, list] = {label: [] for label in labels}
    for a, i, shell in p.all_shells:
        shells[labels[a]] += [[shell.l + more, [float(e), 1.0]] for e in exponents[p.symbols[a]][i]]
    mol = gto.Mole()
    mol.build(
        atom=list(zip(labels, p.positions, strict=True)), unit="Bohr", basis=shells, verbose=0, cart=True,
        spin=sum(gto.charge(s) for s in p.symbols) % 2, dump_input=False, parse_arg=False,
    )  # fmt: skip
    order = [(a, s.l + more, float(e)) for a, i, s in p.all_shells for e in exponents[p.symbols[a]][i]]
    made = [(mol.bas_atom(b), mol.bas_angular(b), float(mol.bas_exp(b)[0])) for b in range(mol.nbas)]
    if made != order:
        raise InputError("The shells of one atom have to be sorted by angular momentum. Give them so.")
    mol._env[mol._bas[:, gto.PTR_COEFF]] = 1.0
    return mol


def _spherical(p: Pattern) -> np.ndarray:
    # libcint's Cartesian s and p functions have the factors of spherical harmonics, the others have none
    parts = [gto.cart2sph(shell.l, normalized="sp") for _, _, shell in p.all_shells for _ in range(shell.primitives)]
    return _block_diagonal(parts)


def _computed(p: Pattern, exponents: dict) -> Primitives:
    mol, c = _uncontracted(p, exponents, 0), _spherical(p)
    one = [c.T @ mol.intor(name) @ c for name in ("int1e_ovlp_cart", "int1e_kin_cart", "int1e_nuc_cart")]
    two = np.einsum("ijkl,ip,jq,kr,ls->pqrs", mol.intor("int2e_cart"), c, c, c, c, optimize=True)
    i, j = np.tril_indices(c.shape[1])
    return Primitives(one[0], one[1], one[2], two[i, j][:, i, j])


def _differentiated(p: Pattern, exponents: dict) -> Primitives:
    """The same with the derivative of the first function in its exponent; (n, n) and (n, n, pairs)."""
    whole, c = _uncontracted(p, exponents, 0), _spherical(p)
    n = whole.nbas
    whole = whole + _uncontracted(p, exponents, 2)
    up = -_block_diagonal([_raising(shell.l) for _, _, shell in p.all_shells for _ in range(shell.primitives)])
    first = (n, 2 * n, 0, n)
    one = [up.T @ whole.intor(name, shls_slice=first) @ c for name in ("int1e_ovlp_cart", "int1e_kin_cart")]
    # the nuclei are there twice, once with each set of functions
    one.append(0.5 * up.T @ whole.intor("int1e_nuc_cart", shls_slice=first) @ c)
    two = whole.intor("int2e_cart", shls_slice=(*first, 0, n, 0, n))
    two = np.einsum("ijkl,ip,jq,kr,ls->pqrs", two, up, c, c, c, optimize=True)
    i, j = np.tril_indices(c.shape[1])
    return Primitives(one[0], one[1], one[2], two[:, :, i, j])


def _shapes(p: Pattern, derivative: bool):
    n = sum((2 * s.l + 1) * s.primitives for _, _, s in p.all_shells)
    pairs, make = n * (n + 1) // 2, lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float64)
    two: Any = make(n, n, pairs) if derivative else make(pairs, pairs)
    one: Any = make(n, n)
    return Primitives(one, one, one, two)


def integrals(exponents: dict, p: Pattern) -> Primitives:
    """Integrals of the primitives, not normalized, as a function of their exponents; one derivative."""

    @jax.custom_jvp
    def of(e):
        return jax.pure_callback(lambda x: _computed(p, jax.tree.map(np.asarray, x)), _shapes(p, False), e)

    @of.defjvp
    def _(primals, tangents):
        d = jax.pure_callback(lambda x: _differentiated(p, jax.tree.map(np.asarray, x)), _shapes(p, True), *primals)
        a = jnp.concatenate([jnp.repeat(tangents[0][p.symbols[x]][i], 2 * z.l + 1) for x, i, z in p.all_shells])
        s, t, v = (m + m.T for m in (a[:, None] * x for x in d[:3]))
        i, j = np.tril_indices(len(a))
        half = a[:, None, None] * d.repulsion
        half = half[i, j] + half[j, i]
        return of(primals[0]), Primitives(s, t, v, half + half.T)

    return of(exponents)


# ---------------------------------------------------------------------------------------------------- contraction


def norms(l: int, exponents: Array) -> Array:
    r"""Radial norms N with $N^2 \int r^{2l+2} e^{-2\alpha r^2} dr = 1$."""
    gamma = {0: 1.0}
    for n in range(1, l + 2):
        gamma[n] = gamma[n - 1] * (n - 0.5)  # Gamma(n + 1/2) / sqrt(pi)
    return jnp.sqrt(2 * (2 * exponents) ** (l + 1.5) / (gamma[l + 1] * np.sqrt(np.pi)))


def contraction(params: dict, p: Pattern, overlap: Float[Array, "n n"]) -> Float[Array, "n nao"]:
    """Normalized contracted functions in terms of the primitives, columns in PySCF's order."""
    parts = []
    for a, i, s in p.all_shells:
        c = params["coefficients"][p.symbols[a]][i] * norms(s.l, params["exponents"][p.symbols[a]][i])[:, None]
        parts.append(jnp.kron(c, jnp.eye(2 * s.l + 1)))
    b = jax.scipy.linalg.block_diag(*parts)
    return b / jnp.sqrt(jnp.einsum("ni,nm,mi->i", b, overlap, b))


def values(
    params: dict, p: Pattern, points: Float[Array, "p 3"], contracted: Float[Array, "n nao"]
) -> Float[Array, "nao 4 p"]:
    """Contracted functions and their gradients at points; `contracted` is what `contraction` returned."""
    parts, row, column = [], 0, 0
    for a, i, s in p.all_shells:
        m = 2 * s.l + 1
        # coefficients of each function's first component: all components have the same
        c = contracted[row : row + m * s.primitives : m, column : column + m * s.contracted : m]
        d = points - jnp.asarray(p.positions[a])
        e = params["exponents"][p.symbols[a]][i]
        decay = jnp.exp(-e[:, None] * jnp.sum(d * d, axis=1))
        radial, slope = c.T @ decay, -2 * (c * e[:, None]).T @ decay
        angular, turned = jax.vmap(lambda x, l=s.l: (harmonics(l, x), jax.jacfwd(lambda y: harmonics(l, y))(x)))(d)
        value = jnp.einsum("cp,pm->cmp", radial, angular)
        gradient = jnp.einsum("cp,pmx->cmxp", radial, turned) + jnp.einsum("cp,pm,px->cmxp", slope, angular, d)
        both = jnp.concatenate([value[:, :, None], gradient], axis=2)
        parts.append(both.reshape(-1, 4, len(points)))
        row, column = row + m * s.primitives, column + m * s.contracted
    return jnp.concatenate(parts)
