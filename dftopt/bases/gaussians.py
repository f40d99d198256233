"""Gaussian basis sets: shells, electrons and quadrature grid of a molecule. Host side; integrals come from PySCF."""

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from pyscf import gto
from pyscf.lib.exceptions import BasisNotFoundError

from dftopt.atoms import checks
from dftopt.atoms.kpoints import KPoints
from dftopt.atoms.symmetry import no_symmetry
from dftopt.bases import integrals, quadrature
from dftopt.errors import DFTOptWarning, InputError
from dftopt.units import BOHR_IN_ANGSTROM

DEPENDENT = 1e-8  # an overlap matrix with a smaller eigenvalue is numerically singular
NEARLY = 1e-6
EXACT_SHARE = 0.2  # of the memory that exact two-electron integrals may take
COMMON = ("sto-3g", "3-21g", "6-31g", "6-31g*", "6-311g**", "def2-svp", "def2-tzvp", "cc-pvdz", "cc-pvtz", "lanl2dz")


class Gaussians:
    """A Gaussian basis and a quadrature grid for a model of a molecule.

    All electrons are computed, except where the basis set comes with an effective core potential (def2 beyond Kr,
    lanl2dz). Exchange and correlation are summed on atom-centred grids (Becke's partition, Treutler's radii, Lebedev's
    spheres, pruned as in NWChem), which are PySCF's of the same level.

    Args:
        model: the `dftopt.Model`, of atoms that are not periodic.
        basis: name of a basis set that PySCF knows, or one per element; instead of a name, shells as PySCF takes them,
            [[l, [exponent, coefficient, ...], ...], ...].
        grid: level of the quadrature grid, 0 (coarse) to 9 (fine).
        density_fit: True fits the density with PySCF's auxiliary basis, False takes exact two-electron integrals,
            None takes exact ones while they need less than a fifth of the machine's memory; `notes` says which.

    Attributes:
        mol: PySCF's description of the molecule, bohr.
        n_electrons: electrons that are computed.
        nao: number of basis functions (spherical).
        label: the basis set as messages name it.
        notes: what was chosen, one sentence each.

    Raises:
        InputError: unknown basis or one without the element, a periodic cell, potentials, a grid level out of range,
            linear dependence, or more memory than there is, before integrals are computed.

    References:
        Becke, J. Chem. Phys. 88, 2547 (1988); Treutler and Ahlrichs, J. Chem. Phys. 102, 346 (1995).
    """

    def __init__(
        self, model, basis: str | Mapping[str, Any] = "def2-svp", grid: int = 3, density_fit: bool | None = None
    ):
        self.model = model
        self.name = dict(basis) if isinstance(basis, Mapping) else basis
        _check_molecule(model)
        self.level = _check_level(grid)
        self.label = _label(self.name)
        if density_fit is not None and not isinstance(density_fit, (bool, np.bool_)):
            raise InputError(f"density_fit = {density_fit!r} has to be True, False or None (exact while it fits).")
        symbols = model.atoms.get_chemical_symbols()
        self.mol = _molecule(symbols, model.atoms.positions / BOHR_IN_ANGSTROM, self.name, model.force)
        self.n_electrons = float(self.mol.atom_charges().sum() - model.charge)
        if self.n_electrons <= 0:
            raise InputError(
                f"charge = {model.charge!r} leaves {self.n_electrons:g} of the {self.mol.atom_charges().sum()} electrons, "
                "at least part of one is needed. Lower it."
            )
        self.nao = int(self.mol.nao_nr())
        self.density_fit = self._fits() if density_fit is None else bool(density_fit)
        self._check_memory(density_fit)
        self._check_dependence()

    # ------------------------------------------------------------------------------- the protocol of a basis

    nk = 1

    @property
    def npw(self) -> int:
        """Number of coefficients of an orbital."""
        return self.nao

    @property
    def counts(self) -> np.ndarray:
        """The same per k point."""
        return np.array([self.nao])

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of arrays that a series of structures shares."""
        return {"npw": self.nao}

    @cached_property
    def kpoints(self) -> KPoints:
        """The one point of something that is not periodic."""
        alone = no_symmetry(len(self.model.atoms))
        return KPoints(np.zeros((1, 3)), np.ones(1), alone, None, None, 1)

    # ------------------------------------------------------------------------------- what PySCF computes

    @cached_property
    def overlap(self) -> np.ndarray:
        """Overlap matrix of the basis functions (nao, nao)."""
        return self.mol.intor_symmetric("int1e_ovlp")

    @cached_property
    def points(self) -> quadrature.Points:
        """The quadrature grid, sorted so that neighbours in space are neighbours in memory."""
        return quadrature.points(self.mol, self.level)

    @property
    def atom_of(self) -> np.ndarray:
        """Atom of each basis function (nao,)."""
        slices = self.mol.aoslice_by_atom()
        return np.repeat(np.arange(len(slices)), slices[:, 3] - slices[:, 2])

    @property
    def core_electrons(self) -> np.ndarray:
        """Electrons per atom that an effective core potential replaces (atoms,)."""
        return np.asarray(self.model.atoms.numbers) - self.mol.atom_charges()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen, one sentence each."""
        how = "fitted density (auxiliary basis of PySCF)" if self.density_fit else "exact two-electron integrals"
        out = [f"{self.nao} basis functions, {self.n_electrons:g} electrons, {how}"]
        replaced = {
            s: int(n) for s, n in zip(self.model.atoms.get_chemical_symbols(), self.core_electrons, strict=True) if n
        }
        if replaced:
            out.append(
                "effective core potentials: " + ", ".join(f"{s} without {n} electrons" for s, n in replaced.items())
            )
        return tuple(out)

    # ------------------------------------------------------------------------------- checks

    @property
    def exact_gib(self) -> float:
        """Memory of the exact two-electron integrals, with four-fold symmetry."""
        return (self.nao * (self.nao + 1) / 2) ** 2 * 8 / 2**30

    def _fits(self) -> bool:
        return self.exact_gib > EXACT_SHARE * checks.memory_limit_gib()

    def _check_memory(self, asked: bool | None) -> None:
        limit = checks.memory_limit_gib()
        if not self.density_fit and self.exact_gib > 0.6 * limit:
            raise InputError(
                f"density_fit = {asked!r}: exact two-electron integrals of {self.nao} basis functions need "
                f"{self.exact_gib:.3g} GiB, this machine has {limit:.3g} GiB. Leave density_fit out, or take a smaller basis."
            )
        fitted = integrals.fitted_gib(self.mol, self.model.functional.kind) if self.density_fit else 0.0
        n_points = quadrature.count(self.mol, self.level)
        kinds = 1 if self.model.functional.kind in ("none", "lda") else 4
        values = n_points * quadrature.functions_per_point(self.mol, self.level) * kinds * 8 / 2**30
        need = fitted + values + (0.0 if self.density_fit else self.exact_gib)
        if need > limit:
            raise InputError(
                f"the molecule with {self.nao} basis functions and {n_points} grid points needs about {need:.3g} GiB; this "
                f"machine has {limit:.3g} GiB. Take a smaller basis, a lower grid level, or an LDA."
            )

    def _check_dependence(self) -> None:
        smallest = float(np.linalg.eigvalsh(self.overlap)[0])
        if smallest < DEPENDENT:
            raise InputError(
                f"basis = {self.label} is linearly dependent for this molecule: the smallest eigenvalue of its overlap matrix is "
                f"{smallest:.1e}, below {DEPENDENT:g}. Take a basis with fewer diffuse functions, or check for atoms too close."
            )
        if smallest < NEARLY:
            warnings.warn(
                f"basis = {self.label} is nearly linearly dependent (smallest eigenvalue of the overlap {smallest:.1e}): "
                "energies lose digits.",
                DFTOptWarning,
                stacklevel=4,
            )

    def __repr__(self) -> str:
        return f"Gaussians({self.label}, {self.nao} functions, grid level {self.level})"


def _check_molecule(model) -> None:
    if model.atoms.pbc.any():
        raise InputError(
            f"the structure is periodic (atoms.pbc = {model.atoms.pbc.tolist()}), but Gaussians are for molecules. "
            "Set atoms.pbc = False for a molecule, or use dftopt.PlaneWaves for a crystal."
        )
    if model.pseudopotentials is not None:
        raise InputError(
            f"pseudopotentials = {model.pseudopotentials!r}: Gaussians compute all electrons, or use the effective core "
            "potential of the basis set. Leave pseudopotentials out, or use dftopt.PlaneWaves."
        )


def _label(name) -> str:
    """A name, or names by element; shells are not spelled out."""
    if not isinstance(name, Mapping):
        return repr(name)
    return repr({s: n if isinstance(n, str) else "shells of its own" for s, n in name.items()})


def _check_level(grid) -> int:
    if isinstance(grid, bool) or not isinstance(grid, (int, np.integer)) or not 0 <= grid <= 9:
        raise InputError(
            f"grid = {grid!r} is not a level of the quadrature grid: a whole number from 0 (coarse) to 9 (fine)."
        )
    return int(grid)


def _molecule(symbols, positions, basis, force: bool) -> gto.Mole:
    """PySCF's molecule; spin and charge are ours, it only provides integrals."""
    species = tuple(dict.fromkeys(symbols))
    named = basis if isinstance(basis, Mapping) else dict.fromkeys(species, basis)
    cores: dict[str, int] = {}  # electrons that they replace
    for s in species:
        if s not in named:
            raise InputError(f"basis = {_label(basis)} names no basis set for {s}. Give one per element.")
        core = _core(s, named[s])
        if core:
            cores[s] = core
    mol = gto.Mole()
    electrons = sum(gto.charge(s) - cores.get(s, 0) for s in symbols)
    # PySCF chooses auxiliary bases by name, and the best ones only for one name that serves all elements
    first = named[species[0]]
    same = isinstance(first, str) and all(named[s] == first for s in species)
    by_name: Any = first if same else {s: named[s] for s in species}
    mol.build(
        atom=list(zip(symbols, positions.tolist(), strict=True)), unit="Bohr", basis=by_name, ecp={s: named[s] for s in cores}, verbose=0,
        spin=electrons % 2, dump_input=False, parse_arg=False,
    )  # fmt: skip
    return mol


def _core(symbol: str, name) -> int:
    """Electrons that the effective core potential of a basis set replaces; the set is checked to have the element."""
    if isinstance(name, (list, tuple)):
        _check_shells(symbol, name)
        return 0
    if not isinstance(name, str):
        raise InputError(f"basis of {symbol} = {name!r} must be a name, such as 'def2-svp', or a list of shells.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shells = gto.basis.load(name, symbol)
        except BasisNotFoundError:
            shells = None
        except Exception:  # PySCF takes some names apart, others for those of files
            shells = None
        if not shells:
            if _knows_any(name):
                raise InputError(
                    f"basis = {name!r} has no functions for {symbol}. Take a set that has them, such as def2-svp (up to Rn), or give one "
                    "per element."
                )
            raise InputError(
                f"basis = {name!r} is unknown; {checks.nearest(name, COMMON)} All names of PySCF are accepted."
            )
        try:
            core = gto.basis.load_ecp(name, symbol)
        except Exception:  # no potential of that name: all electrons
            core = None
    return int(core[0]) if core else 0


def _check_shells(symbol: str, shells) -> None:
    for shell in shells or [None]:
        try:
            l, *rows = shell
            table = np.array(rows, float)
            good = isinstance(l, (int, np.integer)) and 0 <= l <= 6 and table.ndim == 2 and table.shape[1] > 1
            good = good and bool(np.all(np.isfinite(table)) and np.all(table[:, 0] > 0))
        except (TypeError, ValueError):
            good = False
        if not good:
            raise InputError(
                f"basis of {symbol}: the shell {shell!r} cannot be read. A shell is [l, [exponent, coefficient, ...], ...] with l from "
                "0 to 6, positive exponents and equally many coefficients in each row."
            )


def _knows_any(name: str) -> bool:
    for symbol in ("H", "C", "Si", "Cu"):
        try:
            if gto.basis.load(name, symbol):
                return True
        except Exception:
            continue
    return False
