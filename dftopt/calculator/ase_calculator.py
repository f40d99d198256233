"""The calculator for ASE: eV and angstrom outside, one minimization inside."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ase import Atoms
from ase.calculators.abc import GetOutputsMixin
from ase.calculators.calculator import (
    Calculator,
    PropertyNotPresent,
    SCFError,
    all_changes,
    compare_atoms,
    equal,
)
from ase.dft.kpoints import BandPath, monkhorst_pack
from ase.spectrum.band_structure import BandStructure
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

from dftopt.calculator import setup
from dftopt.calculator.fixed_density import FixedDensity
from dftopt.calculator.log import IterationTable, Log, header, summary
from dftopt.errors import InputError, NotConverged
from dftopt.minimization.ground_state import minimize
from dftopt.minimization.result import Result
from dftopt.precision import enable_compilation_cache
from dftopt.properties.bands import bands, eigenvalues_at
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

IRRELEVANT = {"txt"}  # keywords that change no number
CONTINUABLE = {
    "tol",
    "maxiter",
    "seed",
    "minimizer",
}  # keywords after whose change the last orbitals are still a good start
FARTHEST = 0.5  # angstrom: beyond it superposed atoms are the better start
CROWDED = 1e-5  # occupation of the highest band above which a start from earlier orbitals has too few bands
NPOINTS = 60  # of a band path


class CalculationNotConverged(NotConverged, SCFError):
    """The minimization stopped early; it is both dftopt's and ASE's error for that."""


class DFTOpt(GetOutputsMixin, Calculator):
    """Density functional theory for ASE, eV and angstrom.

    `energy` is the T -> 0 value and `free_energy` is A = E - T S, whose derivatives are forces and stress. Energies
    come from one minimization; forces and stress are computed from its result when they are asked for, `stress` with
    ASE's sign ((1/V) dA/d strain, negative under pressure) at a fixed set of plane waves. Nothing is computed twice
    for the same atoms and keywords. A structure near the last one, with the same k points, starts from its orbitals.

    The result in hartree and bohr is `calc.result`.

    Args:
        atoms: atoms to attach the calculator to (or set `atoms.calc`).
        directory: where a relative `txt` is written.
        **parameters: keywords, unknown ones are errors:

            `mode` ("pw"), `xc` ("PBE"), `ecut` (eV; estimated from the potentials if not given), `kpts` ((n1, n2, n3)
            Gamma-centred, {"size": ..., "gamma": ...}, {"density": points per 1/angstrom}, {"spacing": 1/angstrom},
            or fractional points with `weights`), `occupations` ({"name": "fermi-dirac", "width": 0.1} in eV or
            {"name": "fixed"}), `nbands`, `spinpol`, `charge`, `symmetry`, `pseudopotentials`, `fft`, `minimizer`,
            `parametrization`, `tol` (predicted error of the free energy, eV per atom), `maxiter`, `seed`, `force`
            (accept atoms that are too close), `txt` ("-" for the terminal, None, a path or an open file).

            The error of forces is about the square root of `tol`: measured on displaced Si2, 3e-4 to 8e-4 eV/angstrom
            for 3e-7 eV, 1e-5 to 2e-5 for 3e-9 and 5e-6 for 3e-10. The default, 1e-9, is meant for relaxations. `energy` is
            not stationary at T > 0: with the default it is good to about 1e-6 eV, `free_energy` to 1e-9.

    Raises:
        InputError: a keyword is unknown, or (when something is computed) its value is wrong.
        CalculationNotConverged: when something is computed; a larger `maxiter` continues from where it stopped.
    """

    implemented_properties = [
        "energy", "free_energy", "forces", "stress", "natoms", "nbands", "nkpts", "nspins", "fermi_level", "kpoint_weights",
        "ibz_kpoints", "eigenvalues", "occupations",
    ]  # fmt: skip
    default_parameters = setup.DEFAULTS
    accepts_bandpath_keyword = True

    def __init__(self, atoms: Atoms | None = None, directory: str = ".", **parameters):
        self.result: Result | None = None
        self.bandpath: BandPath | None = None
        self._settings: dict[str, Any] = {}  # keywords of `result`
        self._logged = False
        _keep_compiled_programs()
        super().__init__(atoms=atoms, directory=directory, **parameters)

    def __deepcopy__(self, memo):
        new = copy.copy(self)  # shares the result, which never changes
        new.parameters = type(self.parameters)({k: _own(v) for k, v in self.parameters.items()})
        new.results, new.atoms = copy.deepcopy(self.results), None if self.atoms is None else self.atoms.copy()
        return new

    # ------------------------------------------------------------------------------------------ keywords and cache

    def set(self, **kwargs) -> dict:
        """Change keywords; results are dropped when a number could change.

        `bandpath` (an ASE `BandPath`) is where `band_structure` goes by default; it drops nothing.

        Returns:
            The keywords that changed.
        """
        if "bandpath" in kwargs:
            self.bandpath = kwargs.pop("bandpath")
        setup.check_keys(kwargs)
        if isinstance(kwargs.get("kpts"), BandPath):
            raise InputError(
                "kpts is a band path, but the ground state needs a mesh. For bands use calc.band_structure(path) or "
                "calc.fixed_density(kpts=path)."
            )
        changed = {k: _own(v) for k, v in kwargs.items() if not _same(v, self.parameters[k])}
        self.parameters.update(changed)
        if changed.keys() - IRRELEVANT:
            self.reset()
        if "txt" in changed:
            self._logged = False
        return changed

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What changed since the last calculation; everything, if a keyword did."""
        if self.result is not None and not _same(self._relevant(), self._settings):
            return list(all_changes)
        return super().check_state(atoms, tol)

    def todict(self, skip_default: bool = True) -> dict:
        """Keywords as plain values, for files and databases."""
        out = super().todict(skip_default)
        out.pop("txt", None)
        return {k: _plain(v) for k, v in out.items()}

    def _relevant(self) -> dict:
        return {k: v for k, v in self.parameters.items() if k not in IRRELEVANT}

    def _is_current(self, atoms: Atoms | None) -> bool:
        if self.result is None or atoms is None or not _same(self._relevant(), self._settings):
            return False
        return not compare_atoms(self.result.model.atoms, atoms)

    # ------------------------------------------------------------------------------------------ calculation

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Minimize if atoms or keywords changed; then forces and stress if asked for."""
        super().calculate(atoms, properties, system_changes)
        if not self._is_current(self.atoms):
            self.results = {}
            self.result = self._minimize(self.atoms)  # type: ignore[arg-type]
        result = self.result
        assert result is not None
        if not result.converged:
            raise CalculationNotConverged(
                f"{result.model.atoms.get_chemical_formula()}: {result.verdict}. Its energy would be wrong, so none is given. "
                "calc.result holds what was reached; after calc.set(maxiter=...) the next call goes on from there."
            )
        if "energy" not in self.results:
            self.results.update(_outputs(result))
        if "forces" in properties and "forces" not in self.results:
            self.results["forces"] = result.forces() * (HARTREE_IN_EV / BOHR_IN_ANGSTROM)
            self._tell_forces(result.model.structure.symbols)
        if "stress" in properties and "stress" not in self.results:
            self.results["stress"] = full_3x3_to_voigt_6_stress(result.stress() * (HARTREE_IN_EV / BOHR_IN_ANGSTROM**3))
            with self._log() as log:
                log(f"\npressure {-self.results['stress'][:3].mean() / GPa:.4f} GPa")

    def _minimize(self, atoms: Atoms) -> Result:
        chosen = {k: v for k, v in self.parameters.items() if not _same(v, setup.DEFAULTS[k])}
        ready = setup.build(atoms, chosen)
        earlier, self.result = self.result, None
        start = self._start(earlier, ready)
        with self._log() as log:
            log(header(ready) + "\n")
            if start is not None:
                log("start           orbitals of the last calculation\n")
            options = {**ready.minimize_options, "progress": IterationTable(log, len(ready.model.structure))}
            result = minimize(ready.model, ready.basis, **options, start="atomic" if start is None else start)
            if start is not None and start.converged and not (result.converged and _has_room(result)):
                log("the last orbitals were a poor start: again from superposed atoms")
                result = minimize(ready.model, ready.basis, **options)
            log("\n" + summary(result))
        self._settings = {k: _own(v) for k, v in self._relevant().items()}
        return result

    @contextmanager
    def _log(self) -> Iterator[Log]:
        """The log named by `txt`; a file is begun by the first calculation and continued by the next ones."""
        target = self.parameters["txt"]
        if target is None or target == "-" or hasattr(target, "write"):
            yield Log(target)
            return
        try:
            stream = Path(self.directory, target).open("a" if self._logged else "w", encoding="utf-8")
        except (OSError, TypeError) as error:
            raise InputError(
                f"txt = {target!r}: the log cannot be written there ({error}). Give '-', None or a path."
            ) from None
        self._logged = True
        with stream:
            yield Log(stream)

    def _tell_forces(self, symbols: tuple[str, ...]) -> None:
        with self._log() as log:
            log("\nforces (eV/angstrom)")
            for i, (symbol, f) in enumerate(zip(symbols, self.results["forces"], strict=True)):
                log(f"  {i:4d} {symbol:2s}   " + " ".join(f"{x + 0.0:12.6f}" for x in np.round(f, 9)))

    def _start(self, earlier: Result | None, ready: setup.Setup) -> Result | None:
        """The earlier result if its orbitals are a good start."""
        if earlier is None or not np.isfinite(float(earlier.energies.free)):
            return None
        now = self._relevant()
        if any(not _same(v, self._settings[k]) for k, v in now.items() if k not in CONTINUABLE):
            return None
        interrupted = earlier.stats["evaluations"] >= earlier.options.maxiter and not compare_atoms(
            earlier.model.atoms, self.atoms
        )
        return usable(earlier, ready.basis) if earlier.converged or interrupted else None

    # ------------------------------------------------------------------------------------------ electronic structure

    def _outputmixin_get_results(self) -> Mapping[str, Any]:
        return self.results

    def _current_result(self) -> Result:
        if self.result is None or not self.result.converged or not self._is_current(self.atoms):
            raise PropertyNotPresent(
                "nothing is known for the present atoms and keywords: call atoms.get_potential_energy() first."
            )
        return self.result

    def get_xc_functional(self) -> str:
        """Name of the exchange-correlation functional."""
        return str(self.parameters["xc"] or setup.DEFAULTS["xc"])

    def get_occupation_numbers(self, kpt: int = 0, spin: int = 0) -> np.ndarray:
        """Electrons in each band at one k point: 0 to 2, or 0 to 1 with spin polarization; not times the k-point weight."""
        return super().get_occupation_numbers(kpt, spin)

    def get_homo_lumo(self) -> tuple[float, float]:
        """Highest level below and lowest above the Fermi level, on the k points used; eV."""
        e, fermi = self._get("eigenvalues"), self._get("fermi_level")
        return float(e[e <= fermi].max()), float(e[e > fermi].min(initial=np.inf))

    def get_bz_k_points(self) -> np.ndarray:
        """All fractional points of the mesh, before reduction by symmetry."""
        points = self._current_result().basis.kpoints
        if points.size is None:
            return points.k
        n = np.array(points.size)
        return monkhorst_pack(points.size) + ((n - 1) / 2 - (n - 1) // 2 + np.array(points.shift)) / n

    def get_bz_to_ibz_map(self) -> np.ndarray:
        """For each of `get_bz_k_points` the equivalent one of `get_ibz_k_points`."""
        points, full = self._current_result().basis.kpoints, self.get_bz_k_points()
        out = np.full(len(full), -1)
        for rotation in points.symmetry.rotations:
            for sign in (1, -1):
                difference = full[:, None] - points.k @ (sign * rotation)
                same = np.all(np.abs(difference - np.round(difference)) < 1e-6, axis=-1)
                out = np.where((out < 0) & same.any(axis=1), same.argmax(axis=1), out)
        return out

    def band_structure(
        self, path: str | BandPath | None = None, npoints: int = NPOINTS, nbands: int | None = None
    ) -> BandStructure:
        """Bands of the last calculation, in its potential; the ground state stays as it is.

        Args:
            path: special points such as "LGXWKG", an ASE `BandPath`, or None: the `bandpath` keyword, else ASE's standard path.
            npoints: points along a path given by name.
            nbands: bands; default four above the filled ones.
        """
        result = self._current_result()
        if path is None:
            path = self.bandpath if self.bandpath is not None else result.model.atoms.cell.bandpath(npoints=npoints)
        return bands(result, path, npoints, nbands)

    def fixed_density(self, kpts, nbands: int | None = None) -> "FixedDensity":
        """Levels at other k points in the potential of the last calculation; the ground state stays as it is.

        Args:
            kpts: a path as {"path": "LGXWKG", "npoints": 60}, a name or an ASE `BandPath`, fractional points (n, 3), or a mesh as
                in the keyword `kpts`.
            nbands: bands; default four above the filled ones.
        """
        result = self._current_result()
        path, k, weights = self._points(kpts, result)
        e = eigenvalues_at(result, k, nbands) * HARTREE_IN_EV
        results = {
            "eigenvalues": e,
            "fermi_level": self._get("fermi_level"),
            "ibz_kpoints": k,
            "kpoint_weights": weights,
        }
        return FixedDensity(result.model.atoms.copy(), results, path)

    def _points(self, kpts, result: Result) -> tuple[BandPath | None, np.ndarray, np.ndarray]:
        if isinstance(kpts, str):
            kpts = {"path": kpts, "npoints": NPOINTS}
        path = None
        if isinstance(kpts, Mapping) and "path" in kpts:
            try:
                path = result.model.atoms.cell.bandpath(**kpts)
            except (KeyError, TypeError, ValueError) as error:
                have = ", ".join(result.model.atoms.cell.bandpath(npoints=0).special_points)
                raise InputError(
                    f"kpts = {dict(kpts)!r} is not a path of this lattice ({error}); its special points are {have}."
                ) from None
        elif isinstance(kpts, BandPath):
            path = kpts
        if path is not None:
            return path, path.kpts, np.full(len(path.kpts), 1 / len(path.kpts))
        if not isinstance(kpts, Mapping) and np.ndim(kpts) == 2:
            return None, np.asarray(kpts, float), np.full(len(kpts), 1 / len(kpts))
        chosen = {**self.parameters, "kpts": kpts, "weights": None}
        points = setup.build(result.model.atoms, chosen).basis.kpoints
        return None, points.k, points.weights


def usable(earlier: Result, basis) -> Result | None:
    """An earlier result to start from; None if other atoms, other k points or large displacements make it a poor start."""
    old, new = earlier.model.structure, basis.model.structure
    if (
        old.symbols != new.symbols
        or earlier.basis.nk != basis.nk
        or not np.allclose(earlier.basis.kpoints.k, basis.kpoints.k, atol=1e-9)
    ):
        return None
    moved = new.frac - old.frac
    moved = (moved - np.round(moved)) @ new.cell * BOHR_IN_ANGSTROM
    if np.linalg.norm(moved, axis=1).max() > FARTHEST:
        return None
    if earlier.point["psi"].shape[2] > basis.counts.min():
        return None
    return earlier


def _has_room(result: Result) -> bool:
    """Whether bands that nobody chose, but an earlier result had, are enough here."""
    o = result.options
    return o.temperature == 0 or o.nbands is not None or result.occupations[..., -1].max() <= CROWDED


def _outputs(result: Result) -> dict[str, Any]:
    """What is known without further work, by ASE's names, in eV."""
    ns, nk, nb = result.eigenvalues.shape
    return {
        "natoms": len(result.model.structure),
        "nbands": nb,
        "nkpts": nk,
        "nspins": ns,
        "energy": float(result.energies.zero) * HARTREE_IN_EV,
        "free_energy": float(result.energies.free) * HARTREE_IN_EV,
        "fermi_level": float(result.fermi_level) * HARTREE_IN_EV,
        "kpoint_weights": np.array(result.weights),
        "ibz_kpoints": np.array(result.kpoints),
        "eigenvalues": result.eigenvalues * HARTREE_IN_EV,
        "occupations": result.occupations * (2 / ns),
    }


def _keep_compiled_programs() -> None:
    if jax.config.values["jax_compilation_cache_dir"] is None:  # else the user has chosen a place
        try:
            enable_compilation_cache()
        except OSError:  # nowhere to write: each process compiles anew
            pass


def _own(value):
    """A copy of containers, so that a later change of the caller's does not reach us; anything else as it is."""
    return copy.deepcopy(value) if isinstance(value, (dict, list, tuple, np.ndarray)) else value


def _same(a, b) -> bool:
    try:
        return bool(equal(a, b))
    except ValueError:  # ragged lists: the check of the keyword explains them
        return False


def _plain(value):
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return value
    return type(value).__name__
