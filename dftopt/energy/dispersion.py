"""London dispersion by Grimme's D3 with Becke-Johnson damping, evaluated by the library s-dftd3."""

from dataclasses import dataclass
from functools import partial
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.errors import InputError
from dftopt.xc import Functional

METHODS = ("d3bj",)
D3_NAMES: dict[tuple[str, ...], str] = {  # sorted libxc terms -> name under which D3 holds its parameters
    ("gga_c_pbe", "gga_x_pbe"): "pbe",
    ("gga_c_pbe_sol", "gga_x_pbe_sol"): "pbesol",
    ("gga_c_pbe", "gga_x_pbe_r"): "revpbe",
    ("gga_c_pbe", "gga_x_rpbe"): "rpbe",
    ("gga_c_lyp", "gga_x_b88"): "blyp",
    ("gga_c_p86", "gga_x_b88"): "bp",
    ("mgga_c_scan", "mgga_x_scan"): "scan",
    ("mgga_c_r2scan", "mgga_x_r2scan"): "r2scan",
}
HEAVIEST = 94
CUTOFF = 150.0  # bohr, of pairs where they are summed in real space; what lies beyond is below 1e-7 hartree per atom
CN_CUTOFF = 40.0  # bohr, of coordination numbers: part of D3's definition, as its counting function ends at 1e-7, not 0
STEP = 1e-3  # bohr, of the differences of gradients that give second derivatives


@dataclass(frozen=True)
class Dispersion:
    """What fixes the dispersion energy but for the geometry; hashable.

    Attributes:
        functional: D3's name of the functional.
        numbers: atomic numbers.
        periodic: along which cell vectors the atoms are repeated.
    """

    functional: str
    numbers: tuple[int, ...]
    periodic: tuple[bool, bool, bool] = (True, True, True)


def check(method: str, functional: Functional, numbers) -> str:
    """D3's name of a functional, if D3 can be used.

    Raises:
        InputError: an unknown method, a functional or an element without parameters, or the library is missing.
    """
    if not isinstance(method, str) or method.lower() not in METHODS:
        raise InputError(f"dispersion = {method!r} is unknown: use 'd3bj', or None for no dispersion.")
    name = D3_NAMES.get(tuple(sorted(functional.terms)))
    if name is None:
        raise InputError(
            f"dispersion = 'd3bj' has no parameters for xc = {functional.name!r}. It has them for "
            f"{', '.join(sorted(D3_NAMES.values()))}: choose one of these functionals, or leave dispersion out."
        )
    try:
        lacks = (
            "" if hasattr(import_module("dftd3.interface").DispersionModel, "set_ewald_summation") else "it is too old"
        )
    except ImportError as error:
        lacks = str(error)
    if lacks:
        raise InputError(
            f"dispersion = 'd3bj' needs the package dftd3 from version 1.7 on ({lacks}). Install it: "
            "pip install 'dftd3>=1.7', or pip install 'dftopt[dispersion]'."
        )
    if max(numbers) > HEAVIEST:
        raise InputError(
            f"dispersion = 'd3bj' has no coefficients for the atomic number {max(numbers)}, only up to {HEAVIEST}. "
            "Leave dispersion out."
        )
    return name


def dispersion_of(model, periodic: tuple[bool, bool, bool]) -> Dispersion | None:
    """What a model asks for, its atoms repeated along some axes; None without dispersion."""
    if model.dispersion is None:
        return None
    name = D3_NAMES[tuple(sorted(model.functional.terms))]
    return Dispersion(name, tuple(int(z) for z in model.atoms.numbers), periodic)


def _library(d: Dispersion, positions, cell):
    """Energy, gradient (atoms, 3) and its derivative in the rows of the cell (3, 3), hartree and bohr."""
    from dftd3.interface import DispersionModel, RationalDampingParam

    positions, cell = np.asarray(positions, float), np.asarray(cell, float)
    where, within = _in_a_high_cell(d, positions, cell)
    model = DispersionModel(np.array(d.numbers), where, within, np.array(d.periodic))
    if all(d.periodic):
        model.set_ewald_summation(0, 1e-10, 0.0, -1)  # no mesh: exact translation invariance
    model.set_realspace_cutoff(CUTOFF, CN_CUTOFF, CN_CUTOFF)
    out = model.get_dispersion(RationalDampingParam(method=d.functional, atm=False), grad=True)
    gradient = out["gradient"]
    # dE/d(strain) = g^T x + (dE/dcell)^T cell, with x and the cell as rows
    d_cell = np.linalg.solve(cell.T, (out["virial"] - gradient.T @ positions).T)
    return np.asarray(float(out["energy"])), gradient, np.where(np.array(d.periodic)[:, None], d_cell, 0.0)


def _in_a_high_cell(d: Dispersion, positions, cell):
    """A slab between the faces of its cell: the library takes atoms beyond them to the other side."""
    if all(d.periodic) or not any(d.periodic):
        return positions, cell
    axis = d.periodic.index(False)
    n = np.linalg.inv(cell)[:, axis]
    n, vacuum = n / np.linalg.norm(n), 50.0
    z = positions @ n
    return positions + (vacuum - z.min()) * n, np.where(
        np.arange(3)[:, None] == axis, (np.ptp(z) + 2 * vacuum) * n, cell
    )


def _second(d: Dispersion, positions, cell) -> np.ndarray:
    """Second derivatives in all positions and cell vectors, by four-point differences of gradients."""
    positions, cell = np.asarray(positions, float), np.asarray(cell, float)
    n = positions.size
    x = np.concatenate([positions.reshape(-1), cell.reshape(-1)])

    def gradient(y):
        _, g, c = _library(d, y[:n].reshape(-1, 3), y[n:].reshape(3, 3))
        return np.concatenate([g.reshape(-1), c.reshape(-1)])

    rows = []
    for e in np.eye(len(x)) * STEP:
        near, far = gradient(x + e) - gradient(x - e), gradient(x + 2 * e) - gradient(x - 2 * e)
        rows.append((8 * near - far) / (12 * STEP))
    h = np.array(rows)
    return 0.5 * (h + h.T)


def _call(function, shapes, d: Dispersion, positions, cell):
    result = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, float), shapes, is_leaf=lambda s: isinstance(s, tuple)
    )
    return jax.pure_callback(partial(function, d), result, positions, cell, vmap_method="sequential")


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def first_derivatives(positions, cell, d: Dispersion):
    """Derivatives of `dispersion` in positions and cell vectors."""
    return _first(positions, cell, d)[1:]


def _first(positions, cell, d: Dispersion):
    return _call(_library, [(), positions.shape, (3, 3)], d, positions, cell)


@first_derivatives.defjvp
def _first_jvp(d, primals, tangents):
    positions, cell = primals
    size = positions.size + 9
    h = _call(_second, (size, size), d, positions, cell)
    change = h @ jnp.concatenate([jnp.ravel(t) for t in tangents])
    return tuple(first_derivatives(positions, cell, d)), (
        change[:-9].reshape(positions.shape),
        change[-9:].reshape(3, 3),
    )


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def dispersion(positions: Float[Array, "atoms 3"], cell: Float[Array, "3 3"], d: Dispersion) -> Float[Array, ""]:
    r"""D3(BJ) dispersion energy, twice differentiable in positions and cell.

    $E = -\sum_{i<j} \left[ \frac{C_6}{r^6 + f^6} + s_8 \frac{C_8}{r^8 + f^8} \right]$, $f = a_1 \sqrt{C_8/C_6} + a_2$, over
    atoms and their copies, with $C_6$ from the coordination numbers of both atoms; two-body terms alone, as D3(BJ) was
    published. A crystal is summed without a cutoff (Ewald): codes that stop at 50 angstrom differ by 1e-6 to 3e-6 hartree
    per atom. By D3's definition coordination numbers end at 40 bohr, where their counting function is not quite zero:
    the energy jumps by about 1e-9 hartree where an atom crosses that distance, and derivatives are those between the
    jumps. The library is called from the host; derivatives are its own, second derivatives differences of them.

    Args:
        positions: Cartesian, bohr; of a molecule or slab, whole.
        cell: lattice vectors as rows, bohr.
        d: atoms and functional.

    Returns:
        Energy in hartree.

    References:
        Grimme, Antony, Ehrlich, Krieg, J. Chem. Phys. 132, 154104 (2010); Grimme, Ehrlich, Goerigk, J. Comput. Chem. 32,
        1456 (2011); Ehlert, J. Open Source Softw. 9, 7169 (2024), simple-dftd3.
    """
    return _first(positions, cell, d)[0]


@dispersion.defjvp
def _dispersion_jvp(d, primals, tangents):
    positions, cell = primals
    g, c = first_derivatives(positions, cell, d)
    return dispersion(positions, cell, d), jnp.sum(g * tangents[0]) + jnp.sum(c * tangents[1])
