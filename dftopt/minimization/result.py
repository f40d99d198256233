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


@dataclass(frozen=True, eq=False)
class Result:
    """The minimum of the free energy and what follows from it. Hartree and bohr.

    Attributes:
        model, basis, options: what was computed.
        energies: free energy by component.
        converged: the verdict as a truth value; `verdict` says it in words.
        stats: see `Stats`.
        eigenvalues: (spin, k, band), ascending. Their zero is that of ABINIT and DFTK: the average of the Hartree and
            of the Coulomb part of the local potential is zero, its non-Coulomb G = 0 part is in the energy only.
        occupations: (spin, k, band) in [0, 1] (beyond it for Methfessel-Paxton and cold smearing).
        fermi_level: chemical potential; in the middle of the gap at T = 0.
        history: A of every accepted iteration, `errors` the predicted error at each.
        psi: orbitals (spin, k, band, plane wave), padded; their frame is that of the eigenvalues.
        potential: Kohn-Sham potential on the grid in the internal form of `energy.free_energy.h_psi`.
        point: the final point of the minimization, for restarts.
        diagonality: max |(f_i - f_j) H_ij| at the final point, before any diagonalization; hartree.
        inputs: continuous inputs that replaced `model.inputs()`, or None.
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
    fermi_level: float
    history: np.ndarray
    errors: np.ndarray
    psi: Any = field(repr=False)
    potential: Any = field(repr=False)
    point: Any = field(repr=False)
    diagonality: float = np.nan
    inputs: dict | None = field(default=None, repr=False)

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
        """Band gap, see `Gap`."""
        n_filled = round(self.model.n_electrons / 2)
        e = self.eigenvalues[0]
        if abs(self.model.n_electrons / 2 - n_filled) > 1e-9 or e.shape[1] <= n_filled:
            nowhere = (float("nan"),) * 3
            return Gap(
                0.0 if e.shape[1] > n_filled else float("nan"),
                0.0 if e.shape[1] > n_filled else float("nan"),
                nowhere,
                nowhere,
                nowhere,
            )
        top, bottom = e[:, n_filled - 1], e[:, n_filled]
        v, c, d = int(top.argmax()), int(bottom.argmin()), int((bottom - top).argmin())
        indirect, direct = float(bottom[c] - top[v]), float(bottom[d] - top[d])
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
        from dftopt.properties.derivatives import forces

        if not allow_unconverged:
            self.require_converged("Forces")
        return forces(self)

    def stress(self, allow_unconverged: bool = False) -> np.ndarray:
        """Stress (1/V) dA/d(strain), (3, 3), hartree / bohr^3, at a fixed set of plane waves.

        Raises:
            NotConverged: see `require_converged`.
        """
        from dftopt.properties.derivatives import stress

        if not allow_unconverged:
            self.require_converged("The stress")
        return stress(self)

    def density(self) -> np.ndarray:
        """Electron density on the grid, (spin, n1, n2, n3), electrons per bohr^3."""
        from dftopt.properties.derivatives import density

        return density(self)

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
