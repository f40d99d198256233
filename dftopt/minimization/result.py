"""What a minimization returns."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dftopt.energy.free_energy import Energies
from dftopt.errors import NotConverged
from dftopt.minimization.options import Options


class Stats(dict):
    """Numbers about the run, by key or by attribute.

    `iterations` (accepted steps), `evaluations` (energy and gradient), `hamiltonian_applications` (per band, all k),
    `ffts` (transforms of one orbital), `residual` (largest |H psi - eps psi| of occupied bands, hartree), `error`
    (predicted error of A, hartree per atom), `wall_seconds`, `compile_seconds`, `compilations`, `peak_memory_MiB`.
    """

    def __getattr__(self, name: str):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no statistic {name!r}; there are {', '.join(self)}") from None


@dataclass(frozen=True)
class Gap:
    """Band gap on the k points used, hartree; 0 for a metal.

    Attributes:
        indirect: lowest empty minus highest filled level over all k.
        direct: smallest difference at one k.
        k_valence, k_conduction, k_direct: fractional k where they are.
    """

    indirect: float
    direct: float
    k_valence: tuple[float, ...]
    k_conduction: tuple[float, ...]
    k_direct: tuple[float, ...]

    def __float__(self) -> float:
        return self.indirect


@dataclass(frozen=True)
class Start:
    """What one set of starting moments led to: moments (bohr magnetons), free energy (hartree), magnetization, verdict."""

    moments: tuple[float, ...]
    free: float
    magnetization: float
    verdict: str

    @staticmethod
    def of(moments, result) -> "Start":
        """The summary of a result."""
        values = float(result.energies.free), result.magnetization, result.verdict
        return Start(tuple(np.asarray(moments, float).tolist()), *values)


@dataclass(frozen=True, eq=False)
class Result:
    """The minimum of the free energy and what follows from it. Hartree and bohr.

    Attributes:
        model, basis, options: what was computed.
        energies: free energy by component.
        converged: the verdict as a truth value; `verdict` says it in words.
        stats: see `Stats`.
        eigenvalues: (spin, k, band), ascending. Their zero is that of ABINIT and DFTK: the average of the Hartree and
            of the Coulomb part of the local potential is zero, its non-Coulomb G = 0 part is in the energy only. With
            coulomb = "0d" it is the vacuum, with "2d" the mean of the two vacuum levels.
        occupations: (spin, k, band) in [0, 1] (beyond it for Methfessel-Paxton and cold smearing).
        fermi_levels: chemical potential, or that of each spin channel where the magnetization is fixed; in the middle
            of the gap at T = 0.
        history: A of every accepted iteration, `errors` the predicted error at each.
        psi: orbitals (spin, k, band, plane wave), padded; their frame is that of the eigenvalues.
        potential: Kohn-Sham potential on the grid in the internal form of `energy.free_energy.h_psi`.
        point: the final point of the minimization, for restarts.
        charge_integral: integral of the density over the cell, electrons.
        absolute_magnetization: integral of |rho_up - rho_down|, bohr magnetons.
        diagonality: max |(f_i - f_j) H_ij| at the final point, before any diagonalization; hartree.
        inputs: continuous inputs that replaced `model.inputs()`, or None.
        buffer: orbitals of the next bands, which have settled only loosely: a start for other structures, not kept in files.
        starts: what each set of starting moments led to, see `Start`; empty unless several were asked for.
    """

    model: Any
    basis: Any
    options: Options
    energies: Energies
    converged: bool
    verdict: str
    stats: Stats
    eigenvalues: np.ndarray
    occupations: np.ndarray
    fermi_levels: tuple[float, ...]
    history: np.ndarray
    errors: np.ndarray
    psi: Any = field(repr=False)
    potential: Any = field(repr=False)
    point: Any = field(repr=False)
    charge_integral: float
    absolute_magnetization: float
    diagonality: float = np.nan
    inputs: dict | None = field(default=None, repr=False)
    buffer: Any = field(default=None, repr=False)
    starts: tuple[Start, ...] = field(default=(), repr=False)

    @property
    def fermi_level(self) -> float:
        """Chemical potential, hartree; the mean of the two where the magnetization is fixed."""
        return float(np.mean(self.fermi_levels))

    @property
    def status(self) -> str:
        """One word: "converged", "interrupted" or "not converged"."""
        return "converged" if self.converged else "interrupted" if "interrupted" in self.verdict else "not converged"

    @property
    def kpoints(self) -> np.ndarray:
        """Fractional k points, (k, 3)."""
        return self.basis.kpoints.k

    @property
    def weights(self) -> np.ndarray:
        """Weights of the k points, (k,), sum 1."""
        return self.basis.kpoints.weights

    @property
    def magnetization(self) -> float:
        """N_up - N_down, bohr magnetons."""
        if self.model.nspin == 1:
            return 0.0
        n = np.einsum("k,skb->s", self.weights, self.occupations)
        return float(n[0] - n[1])

    @cached_property
    def gap(self) -> Gap:
        """Band gap over both spins, see `Gap`; the direct gap is between bands of one spin."""
        e = self.eigenvalues
        exact = np.einsum("k,skb->s", self.weights, self.occupations)
        filled = np.round(exact).astype(int)
        metal = np.any(np.abs(exact - filled) > 1e-3) or filled.max() > e.shape[2]
        if metal or filled.max() == e.shape[2]:
            value = 0.0 if metal else float("nan")
            return Gap(value, value, *((float("nan"),) * 3,) * 3)
        tops = np.stack([x[:, n - 1] if n else np.full(len(x), -np.inf) for x, n in zip(e, filled, strict=True)])
        bottoms = np.stack([x[:, n] for x, n in zip(e, filled, strict=True)])
        v, c, d = tops.max(axis=0).argmax(), bottoms.min(axis=0).argmin(), (bottoms - tops).min(axis=0).argmin()
        indirect, direct = float(bottoms.min() - tops.max()), float((bottoms - tops).min())
        where = [tuple(float(x) for x in self.kpoints[i]) for i in (v, c, d)]
        return Gap(max(indirect, 0.0), max(direct, 0.0) if indirect > 0 else 0.0, *where)

    def require_converged(self, what: str) -> None:
        """Refuse a quantity that is wrong away from the minimum.

        Raises:
            NotConverged: says how far the minimization came and what to do.
        """
        if not self.converged:
            raise NotConverged(
                f"{what} of a run that did not converge would be wrong ({self.verdict}). Continue it with "
                "minimize(..., start=result, maxiter=...), or ask with allow_unconverged=True."
            )

    def forces(self, allow_unconverged: bool = False) -> np.ndarray:
        """Forces -dA/dR (atoms, 3), hartree / bohr; sum zero up to the grid's own error, which is removed.

        Raises:
            NotConverged: see `require_converged`.
        """
        if not allow_unconverged:
            self.require_converged("Forces")
        return self._forces - self._forces.mean(axis=0)

    @cached_property
    def _forces(self) -> np.ndarray:
        from dftopt.properties.derivatives import forces

        return forces(self)

    @property
    def force_sum(self) -> np.ndarray:
        """Sum of the forces (3,) before `forces` removes it, hartree / bohr: zero but for the error of the grid."""
        return self._forces.sum(axis=0)

    def stress(self, allow_unconverged: bool = False) -> np.ndarray:
        """Stress (1/V) dA/d(strain), (3, 3), hartree / bohr^3, at a fixed set of plane waves.

        With coulomb = "2d" the plane of the slab alone can be strained, and components along its normal are zero; times
        the height of the cell it is the stress of the sheet, hartree / bohr^2.

        Raises:
            NotConverged: see `require_converged`.
            InputError: coulomb = "0d", where nothing can be strained.
        """
        from dftopt.properties.derivatives import stress

        if not allow_unconverged:
            self.require_converged("The stress")
        return stress(self)

    def density(self) -> np.ndarray:
        """Electron density on the grid, (spin, n1, n2, n3), electrons per bohr^3."""
        from dftopt.properties.derivatives import density

        return density(self)

    def dipole(self) -> np.ndarray:
        """Dipole moment of a molecule or slab (3,), e bohr, see `properties.dipole`.

        Raises:
            InputError: no vacuum along any axis.
        """
        from dftopt.properties.dipole import dipole

        return dipole(self)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing before the numbers are believed: see `energy.notes`."""
        from dftopt.energy.notes import notes

        return (*self.model.notes, *notes(self.model, self.basis))

    def save(self, path) -> None:
        """Write everything to an HDF5 file that `dftopt.load` reads; replaces it atomically."""
        from dftopt.properties.files import save

        save(self, path)

    def __repr__(self) -> str:
        e = self.energies
        return (
            f"Result({self.model.atoms.get_chemical_formula()}, {self.verdict}: A = {float(e.free):.10f} Ha, E = {float(e.total):.10f} Ha, "
            f"{self.stats['iterations']} iterations, {self.stats['wall_seconds']:.1f} s)"
        )
