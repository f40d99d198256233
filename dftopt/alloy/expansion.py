r"""The cluster expansion $E(\sigma)/n = \sum_\alpha c_\alpha \Pi_\alpha(\sigma)$ of energies of an alloy."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from ase import Atoms

from dftopt.alloy import aliasing, files
from dftopt.alloy.clusters import Orbit, orbits
from dftopt.alloy.design import coefficient_names, design_matrix
from dftopt.alloy.functions import cluster_energies, point_functions
from dftopt.alloy.matching import Match, match
from dftopt.alloy.parent import Parent
from dftopt.alloy.regression import regress
from dftopt.alloy.supercell import Supercell
from dftopt.errors import DFTOptWarning, InputError

MOST_SPECIES = 4


@dataclass(frozen=True, eq=False)
class ClusterExpansion:
    """Energies of decorations of a lattice.

    Made by `fit`, or by `load`; by hand for model Hamiltonians with `ClusterExpansion(parent, species, cutoffs, coefficients)`.

    Args:
        parent: the lattice.
        species: symbols, two to four, in the order of their codes.
        cutoffs: of pairs, triplets, quadruplets, angstrom.
        coefficients: (C,) of the mean correlations, eV per site; in the order of `names`.
        covariance: (C, C), eV^2; zero if not fitted.
        cv_rmse: cross-validated error, eV per atom; NaN if not fitted.
        rmse: of the fitted structures, eV per atom.
        method: of the fit.
        aliases: names of coefficients that the training cells make one; the first carries them all.
        undetermined: names of coefficients that the data leave open; their values are those of the prior.
        training: composition, energy, prediction and error of each structure fitted, and how far its atoms moved.
    """

    parent: Parent
    species: tuple[str, ...]
    cutoffs: tuple[float, ...]
    coefficients: np.ndarray
    covariance: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    cv_rmse: float = float("nan")
    rmse: float = float("nan")
    method: str = "given"
    aliases: tuple[tuple[str, ...], ...] = ()
    undetermined: tuple[str, ...] = ()
    training: dict = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "species", check_species(self.species))
        object.__setattr__(self, "cutoffs", tuple(float(c) for c in self.cutoffs))
        c = np.asarray(self.coefficients, float)
        if c.shape != (len(self.names),) or not np.isfinite(c).all():
            raise InputError(f"coefficients must be {len(self.names)} finite numbers: {', '.join(self.names)}.")
        object.__setattr__(self, "coefficients", c)
        if np.shape(self.covariance) != (len(c), len(c)):
            object.__setattr__(self, "covariance", np.zeros((len(c), len(c))))

    @cached_property
    def orbits(self) -> list[Orbit]:
        """Orbits of clusters by order and diameter, the point first."""
        return orbits(self.parent, self.cutoffs)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the coefficients: order and shells, and functions on the sites for more than two species."""
        return coefficient_names(self.orbits, len(self.species) - 1)

    @property
    def uncertainties(self) -> np.ndarray:
        """(C,) standard deviations of the coefficients, eV per site."""
        return np.sqrt(np.diag(self.covariance))

    @cached_property
    def tables(self) -> list[np.ndarray]:
        """For every orbit the energy (K,) * k of one cluster by its species, eV."""
        phi = point_functions(len(self.species))
        out, column = [], 1
        for orbit in self.orbits:
            width = len(orbit.decorations(len(phi)))
            part = self.coefficients[column : column + width]
            out.append(cluster_energies(orbit, part, phi, len(self.parent.basis)))
            column += width
        return out

    @classmethod
    def fit(
        cls,
        structures: Sequence[Atoms],
        energies_eV,
        parent: Atoms,
        cutoffs: Sequence[float],
        *,
        species: Sequence[str] | None = None,
        method: str = "ridge",
        folds: int = 10,
        seed: int = 0,
        allow_undetermined: bool = False,
    ) -> "ClusterExpansion":
        """Fit energies of structures, relaxed or not.

        Args:
            structures: list of ASE Atoms; each is matched to the lattice.
            energies_eV: (structures,) eV per cell, absolute or of formation.
            parent: ASE Atoms of the lattice, such as bulk("Nb", "bcc", a=3.3); its species do not matter.
            cutoffs: largest diameter of pairs, triplets and quadruplets, angstrom.
            species: symbols; default: those that occur, by atomic number.
            method: "ridge", "lasso" or "ard".
            folds: of cross-validation over structures; equal configurations are in one fold.
            seed: of the folds.
            allow_undetermined: fit fewer different structures than coefficients; the prior decides the rest.

        Returns:
            The expansion, with `cv_rmse` in eV per atom.

        Raises:
            InputError: a structure that is not on the lattice or of other species, energies that are not finite or not as
                many as structures, cutoffs that leave no clusters, too few structures (which coefficients are undetermined).

        Warns:
            DFTOptWarning: small cells alias shells, or the structures leave coefficients undetermined; with their names.
        """
        structures = list(structures)
        energies = check_energies(structures, energies_eV)
        lattice = Parent.of(parent)
        if species is None:
            numbers = sorted({int(z) for a in structures if isinstance(a, Atoms) for z in a.numbers})
            species = Atoms(numbers=numbers).get_chemical_symbols()
        blank = cls.blank(lattice, species, cutoffs)
        matches = [match(a, lattice, blank.species, f"Structure {i}") for i, a in enumerate(structures)]
        return blank.refit(matches, energies, method, folds, seed, allow_undetermined)

    @classmethod
    def blank(cls, parent: Parent, species, cutoffs) -> "ClusterExpansion":
        """All coefficients zero."""
        species = check_species(species)
        names = coefficient_names(orbits(parent, cutoffs), len(species) - 1)
        return cls(parent, species, tuple(cutoffs), np.zeros(len(names)))

    def refit(
        self, matches: list[Match], energies, method="ridge", folds=10, seed=0, allow_undetermined=False
    ) -> "ClusterExpansion":
        """The same clusters fitted to structures that were matched before; see `fit`."""
        n = np.array([len(m.codes) for m in matches])
        y = np.asarray(energies, float) / n
        X = design_matrix([(m.supercell, m.codes) for m in matches], self.orbits, len(self.species))
        groups = aliasing.equal_columns(X, self.names)
        kept = np.ones(X.shape[1], bool)
        for group in groups:
            kept[list(group[1:])] = False
        kept[1:] &= abs(X[:, 1:]).max(0) > 1e-9
        zero = ~kept & (abs(X).max(0) <= 1e-9)
        loose = aliasing.undetermined(X, kept) | zero
        distinct = len(np.unique(np.round(X, 8) + 0.0, axis=0))
        open_names = tuple(name for name, is_open in zip(self.names, loose, strict=True) if is_open)
        if distinct < kept.sum() and not allow_undetermined:
            raise InputError(
                f"{distinct} different structures are too few for {kept.sum()} coefficients; undetermined are "
                f"{_listed(open_names or self.names)}. Add structures, shorten cutoffs, or let the prior decide "
                "(allow_undetermined)."
            )
        if groups:
            text = "; ".join(" = ".join(self.names[i] for i in g) for g in groups[:6]) + ("; ..." if groups[6:] else "")
            warnings.warn(
                f"The training cells are so small that they alias {sum(len(g) - 1 for g in groups)} clusters with shorter ones "
                f"({text}): the first of each carries the sum, the others are zero. Larger cells tell them apart.",
                DFTOptWarning,
                stacklevel=3,
            )
        if open_names:
            warnings.warn(
                f"The structures leave {len(open_names)} coefficients undetermined, which the prior decides: "
                f"{_listed(open_names)}. Predictions that need them have a large uncertainty.",
                DFTOptWarning,
                stacklevel=3,
            )
        free = np.array([name.startswith(("constant", "point")) for name in self.names])
        free &= ~loose  # a direction that nothing holds needs a prior
        found = regress(X[:, kept], y, free[kept], method, min(folds, distinct), seed)
        coefficients, covariance = np.zeros(len(kept)), np.zeros((len(kept), len(kept)))
        coefficients[kept] = found.coefficients
        covariance[np.ix_(kept, kept)] = found.covariance
        composition = np.stack([np.bincount(m.codes, minlength=len(self.species)) / len(m.codes) for m in matches])
        return replace(
            self,
            coefficients=coefficients,
            covariance=covariance,
            cv_rmse=found.cv_rmse,
            rmse=found.rmse,
            method=method,
            aliases=tuple(tuple(self.names[i] for i in g) for g in groups),
            undetermined=open_names,
            training={
                "atoms": n,
                "composition": composition,
                "energy": y,
                "fitted": X[:, kept] @ found.coefficients,
                "cross_validated": found.cv_predictions,
                "fold": found.fold,
                "largest_displacement": np.array([m.displacements.max() for m in matches]),
                "strain": np.array([m.strain for m in matches]),
            },
        )

    def correlations(self, structures: list[tuple[Supercell, np.ndarray]]) -> np.ndarray:
        """(structures, C) rows of the design matrix for supercells and species codes."""
        return design_matrix(structures, self.orbits, len(self.species))

    def predict(self, atoms, uncertainty: bool = False):
        """Energy of a structure, relaxed or not, or of a list of them, eV per cell.

        Args:
            atoms: ASE Atoms on the lattice, or a list of them.
            uncertainty: also the standard deviation that follows from those of the coefficients.

        Raises:
            InputError: as `fit`.
        """
        many = not isinstance(atoms, Atoms)
        listed = list(atoms) if many else [atoms]
        matches = [match(a, self.parent, self.species, f"Structure {i}") for i, a in enumerate(listed)]
        X = self.correlations([(m.supercell, m.codes) for m in matches])
        n = np.array([len(m.codes) for m in matches])
        energy = X @ self.coefficients * n
        deviation = np.sqrt(np.maximum(np.einsum("ri,ij,rj->r", X, self.covariance, X), 0)) * n
        if not many:
            energy, deviation = float(energy[0]), float(deviation[0])
        return (energy, deviation) if uncertainty else energy

    def pure(self) -> np.ndarray:
        """(K,) predicted energies of the pure elements, eV per site."""
        cell = Supercell(self.parent, np.eye(3, dtype=int))
        codes = [np.full(len(cell), i, np.int8) for i in range(len(self.species))]
        return self.correlations([(cell, c) for c in codes]) @ self.coefficients

    def cells(self, size, composition, barriers, vacancies: int | None = None, shells: int = 1) -> dict:
        """Plain arrays for vacancy jumps on a lattice of conventional cells; see `dftopt.alloy.cells.cells`."""
        from dftopt.alloy.cells import cells

        return cells(self, size, composition, barriers, vacancies, shells)

    def save(self, path) -> None:
        """Write one readable JSON file."""
        files.save(self, path)

    @classmethod
    def load(cls, path) -> "ClusterExpansion":
        """Read what `save` wrote.

        Raises:
            InputError: no such file, or not one of ours.
        """
        return cls(**files.load(path))


def check_species(species) -> tuple[str, ...]:
    """Two to four different symbols.

    Raises:
        InputError: they are not.
    """
    from ase.data import atomic_numbers

    out = tuple(str(s) for s in species)
    for s in out:
        if s not in atomic_numbers or s == "X":
            raise InputError(f"species: {s!r} is no chemical symbol.")
    if not 2 <= len(out) <= MOST_SPECIES or len(set(out)) < len(out):
        raise InputError(
            f"species = {', '.join(out) or 'none'}: two to {MOST_SPECIES} different ones make an expansion."
        )
    return out


def check_energies(structures, energies_eV) -> np.ndarray:
    """Finite energies, one per structure.

    Raises:
        InputError: they are not.
    """
    try:
        energies = np.asarray(energies_eV, float)
    except (TypeError, ValueError):
        raise InputError("energies_eV must be numbers, one per structure, eV per cell.") from None
    if not structures or energies.shape != (len(structures),):
        raise InputError(
            f"{len(structures)} structures and energies of shape {energies.shape}: one energy each is needed."
        )
    bad = np.flatnonzero(~np.isfinite(energies))
    if bad.size:
        raise InputError(f"The energy of structure {bad[0]} is {energies[bad[0]]}: it is not finite. Leave it out.")
    return energies


def _listed(names, most=12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
