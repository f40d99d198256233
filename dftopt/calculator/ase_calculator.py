"""The calculator for ASE: eV and angstrom outside, one minimization inside."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.abc import GetOutputsMixin
from ase.calculators.calculator import (
    Calculator,
    PropertyNotPresent,
    SCFError,
    all_changes,
    compare_atoms,
)
from ase.dft.kpoints import BandPath
from ase.spectrum.band_structure import BandStructure
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

from dftopt.calculator import restart as files
from dftopt.calculator import setup
from dftopt.calculator.continuation import Memory, has_room
from dftopt.calculator.fixed_density import NPOINTS, FixedDensity, full_mesh, points_of, to_irreducible
from dftopt.calculator.keywords import own, plain, same
from dftopt.calculator.log import IterationTable, Log, header, summary
from dftopt.calculator.outputs import outputs
from dftopt.errors import InputError, NotConverged
from dftopt.minimization.ground_state import minimize
from dftopt.minimization.result import Result
from dftopt.precision import set_up_process
from dftopt.properties.bands import bands, eigenvalues_at
from dftopt.properties.projections import loewdin_charges
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

IRRELEVANT = {"txt"}  # keywords that change no number
CONTINUABLE = {"tol", "maxiter", "seed", "minimizer"}  # after whose change the last orbitals are still a good start
ROOM = 0.03  # by which a cell may grow before anything is compiled again


class CalculationNotConverged(NotConverged, SCFError):
    """The minimization stopped early; it is both dftopt's and ASE's error for that."""


class DFTOpt(GetOutputsMixin, Calculator):
    """Density functional theory for ASE, eV and angstrom.

    `energy` is the T -> 0 value and `free_energy` is A = E - T S, whose derivatives are forces and stress. Energies
    come from one minimization; forces and stress are computed from its result when they are asked for, `stress` with
    ASE's sign ((1/V) dA/d strain, negative under pressure) at a fixed set of plane waves. Nothing is computed twice
    for the same atoms and keywords.

    A structure near the last ones (relaxation, dynamics, equation of state) starts from their orbitals, extrapolated
    to it, and keeps the sizes of their arrays, so that nothing is compiled again. Every structure has the plane waves
    of its own cell; kept are the FFT grid where a larger one is not needed, and the k mesh where a spacing or density of
    points chooses it. `reserve` makes room for structures to come.

    The result in hartree and bohr is `calc.result`.

    Args:
        restart: a file of `write` (or of `Result.save`) to go on from: what it holds is known without computing.
        atoms: atoms to attach the calculator to (or set `atoms.calc`).
        label: path without suffix: the log goes to LABEL.txt where `txt` is not given, and `write()` to LABEL.h5.
        directory: where a relative `txt` is written.
        **parameters: keywords, unknown ones are errors:

            `mode` ("pw"), `xc` (what potential files name, else "PBE"), `ecut` (eV; from the potentials if not given), `kpts` ((n1, n2, n3)
            Gamma-centred, {"size": ..., "gamma": ...}, {"density": points per 1/angstrom}, {"spacing": 1/angstrom},
            or fractional points with `weights`), `occupations` ({"name": "fermi-dirac", "width": 0.1} in eV or
            {"name": "fixed"}), `nbands`, `spinpol` (on when moments are given), `magnetization`, `starts`, `charge`,
            `coulomb`, `dipole_correction`, `dispersion`, `symmetry`, `pseudopotentials`, `fft`, `minimizer`,
            `parametrization`, `kpoints_at_once` (the others on disk), `tol` (predicted error of the free energy, eV per
            atom), `maxiter`, `seed`, `force` (accept atoms that are too close), `txt` ("-" for the terminal, None, a path or an open file).

            The error of forces is about the square root of `tol`: measured on displaced Si2, 3e-4 to 8e-4 eV/angstrom
            for 3e-7 eV, 1e-5 to 2e-5 for 3e-9 and 5e-6 for 3e-10. The default, 1e-9, is meant for relaxations. `energy` is
            not stationary at T > 0: with the default it is good to about 1e-6 eV, `free_energy` to 1e-9.

    Attributes:
        result: of the last minimization, `dftopt.Result`; None before.
        stop: asked between blocks of iterations; where it returns True the minimization ends, not converged.

    Raises:
        InputError: a keyword is unknown, or (when something is computed) its value is wrong.
        CalculationNotConverged: when something is computed; a larger `maxiter` continues from where it stopped.
    """

    implemented_properties = [
        "energy", "free_energy", "forces", "stress", "magmom", "magmoms", "charges", "natoms", "nbands", "nkpts", "nspins",
        "fermi_level", "kpoint_weights", "ibz_kpoints", "eigenvalues", "occupations",
    ]  # fmt: skip
    default_parameters = setup.DEFAULTS
    accepts_bandpath_keyword = True

    def __init__(self, restart=None, atoms: Atoms | None = None, label=None, directory: str = ".", **parameters):
        if isinstance(restart, Atoms):  # the only positional argument may be either
            restart, atoms = None, restart
        self.result: Result | None = None
        self.bandpath: BandPath | None = None
        self.stop: Callable[[], bool] | None = None
        self._settings: dict[str, Any] = {}  # keywords of `result`
        self._memory = Memory()
        self._logged = False
        set_up_process()
        if label is not None and "txt" not in parameters:
            parameters["txt"] = f"{Path(label).name}.txt"
        super().__init__(restart=restart, label=label, atoms=atoms, directory=directory, **parameters)

    def __deepcopy__(self, memo):
        new = copy.copy(self)  # shares the results, which never change
        new.parameters = type(self.parameters)({k: own(v) for k, v in self.parameters.items()})
        new.results, new.atoms = copy.deepcopy(self.results), None if self.atoms is None else self.atoms.copy()
        new._memory = copy.copy(self._memory)
        return new

    # ------------------------------------------------------------------------------------------ keywords and files

    def set(self, **kwargs) -> dict:
        """Change keywords; results are dropped when a number could change.

        `bandpath` (an ASE `BandPath`) is where `band_structure` goes by default; it drops nothing.

        Returns:
            The keywords that changed.
        """
        if "bandpath" in kwargs:
            self.bandpath = kwargs.pop("bandpath")
        setup.check_keys(kwargs)
        kpts = kwargs.get("kpts")
        if isinstance(kpts, BandPath) or (isinstance(kpts, dict) and "path" in kpts):
            raise InputError(
                "kpts is a band path, but the ground state needs a mesh. For bands use calc.band_structure(path) or "
                "calc.fixed_density(kpts=path)."
            )
        changed = {k: own(v) for k, v in kwargs.items() if not same(v, self.parameters[k])}
        self.parameters.update(changed)
        if changed.keys() - IRRELEVANT:
            self.results = {}
        if "txt" in changed:
            self._logged = False
        return changed

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What changed since the last calculation; everything, if a keyword did."""
        if self.result is not None and not same(self._relevant(), self._settings):
            return list(all_changes)
        return super().check_state(atoms, tol)

    def todict(self, skip_default: bool = True) -> dict:
        """Keywords as plain values, for files and databases."""
        out = super().todict(skip_default)
        out.pop("txt", None)
        return {k: plain(v) for k, v in out.items()}

    def write(self, path=None) -> Path:
        """Save keywords, energies, what else is known, and the orbitals, to HDF5; `DFTOpt(path)` goes on from there.

        Args:
            path: of the file; default LABEL.h5.

        Raises:
            PropertyNotPresent: nothing is computed for the present atoms and keywords.
            InputError: no path, or it cannot be written.
        """
        if path is None and self.prefix is None:
            raise InputError("write needs a path, such as calc.write('si.h5'), or a calculator with a label.")
        path = Path(path or f"{self.label}.h5")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, self._current_result(), self.todict(), self.results)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}.") from None
        return path

    def read(self, label) -> None:
        """Take atoms, keywords and everything known from a file of `write` or `Result.save`."""
        result, keywords, known = files.read(label)
        self.parameters = self.get_default_parameters()
        self.parameters.update(keywords)
        self.atoms, self.result = result.model.atoms.copy(), result
        self._settings = {k: own(v) for k, v in self._relevant().items()}
        self._memory.add(result)
        self.results = {**outputs(result), **known} if result.converged else {}

    def reserve(self, atoms: Atoms, room: float = 0.0) -> None:
        """Prepare for a series of structures near this one: one k mesh, and nothing compiled twice.

        Args:
            atoms: a structure of the series; a spacing or density of k points becomes the mesh of its cell.
            room: fraction by which cell vectors may be longer than here in the others.
        """
        if not self._unchanged():
            self._memory = Memory()
        ready = self._build(atoms)
        if self.parameters["mode"] == "gaussian":
            return  # a molecule has neither cell nor k points
        largest = atoms.copy()
        largest.set_cell(atoms.cell.array * (1 + room), scale_atoms=True)
        self._memory.keep(self._memory.like(ready.model.structure, ready.basis.ecut), ready.basis)
        self._memory.keep(self._build(largest).basis.sizes, ready.basis)

    def _relevant(self) -> dict:
        return {k: v for k, v in self.parameters.items() if k not in IRRELEVANT}

    def _is_current(self, atoms: Atoms | None) -> bool:
        if self.result is None or atoms is None or not same(self._relevant(), self._settings):
            return False
        return not compare_atoms(self.result.model.atoms, atoms)

    # ------------------------------------------------------------------------------------------ calculation

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Minimize if atoms or keywords changed; then what else is asked for."""
        super().calculate(atoms, properties, system_changes)
        if not self._is_current(self.atoms) or (self.result is not None and self.result.status == "interrupted"):
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
            self.results.update(outputs(result))
        if "forces" in properties and "forces" not in self.results:
            self.results["forces"] = result.forces() * (HARTREE_IN_EV / BOHR_IN_ANGSTROM)
            self._tell_forces(result.model.structure.symbols)
        if "stress" in properties and "stress" not in self.results:
            self.results["stress"] = full_3x3_to_voigt_6_stress(result.stress() * (HARTREE_IN_EV / BOHR_IN_ANGSTROM**3))
            with self._log() as log:
                log(f"\npressure {-self.results['stress'][:3].mean() / GPa:.4f} GPa")
        if "magmoms" in properties and result.model.nspin == 1:
            self.results["magmoms"] = np.zeros(len(result.model.structure))
        if any(name in properties and name not in self.results for name in ("magmoms", "charges")):
            found = loewdin_charges(result)
            self.results |= {"charges": found.charges, "magmoms": found.moments}

    def _build(self, atoms: Atoms) -> setup.Setup:
        chosen = {k: v for k, v in self.parameters.items() if not same(v, setup.DEFAULTS[k])}
        memory = self._memory if self._unchanged() else Memory()
        kpts = self.parameters["kpts"]
        mesh = None
        if isinstance(kpts, Mapping) and not {"density", "spacing"}.isdisjoint(kpts):
            mesh = memory.mesh(atoms)
        ready = setup.build(atoms, {**chosen, **({"kpts": mesh} if mesh else {})}, memory.like, ROOM)
        if mesh:
            ready.notes.append("k mesh of the last structure, whose cell is about the same")
        return ready

    def _minimize(self, atoms: Atoms) -> Result:
        ready = self._build(atoms)
        if not self._unchanged():
            self._memory = Memory()
        earlier, self.result = self.result, None
        start = self._memory.start(ready.basis, earlier is not None and _stopped_early(earlier, atoms))
        with self._log() as log:
            if self.parameters["txt"] is not None:  # finding a symmetry that is nearly there costs milliseconds
                log(header(ready) + "\n")
            if start is not None:
                log("start           orbitals of the last calculations\n")
            options = {**ready.minimize_options, "progress": self._progress(log, len(ready.model.structure))}
            result = minimize(ready.model, ready.basis, **options, start="atomic" if start is None else start)
            if start is not None and start.converged and result.status != "interrupted":
                if not (result.converged and has_room(result)):
                    log("the last orbitals were a poor start: again from superposed atoms")
                    result = minimize(ready.model, ready.basis, **options)
            log("\n" + summary(result))
        self._settings = {k: own(v) for k, v in self._relevant().items()}
        self._memory.add(result)
        return result

    def _unchanged(self) -> bool:
        """Whether what is remembered belongs to the present keywords."""
        now = self._relevant()
        return not self._settings or all(same(v, self._settings[k]) for k, v in now.items() if k not in CONTINUABLE)

    def _progress(self, log: Log, natoms: int) -> Callable:
        table = IterationTable(log, natoms)

        def progress(step) -> bool:
            table(step)
            return self.stop is not None and bool(self.stop())

        return progress

    @contextmanager
    def _log(self) -> Iterator[Log]:
        """The log named by `txt`; a file is begun by the first calculation and continued by the next ones."""
        target = self.parameters["txt"]
        if target is None or same(target, "-") or hasattr(target, "write"):
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
        known = self.result.model.functional.name if self.result else "PBE"
        return str(self.parameters["xc"] or known)

    def get_occupation_numbers(self, kpt: int = 0, spin: int = 0) -> np.ndarray:
        """Electrons in each band at one k point: 0 to 2, or 0 to 1 with spin polarization; not times the k-point weight."""
        return super().get_occupation_numbers(kpt, spin)

    def get_homo_lumo(self) -> tuple[float, float]:
        """Highest level below and lowest above the Fermi level, on the k points used; eV."""
        e, fermi = self._get("eigenvalues"), self._get("fermi_level")
        return float(e[e <= fermi].max()), float(e[e > fermi].min(initial=np.inf))

    def get_pseudo_density(self, spin: int | None = None, pad: bool = True) -> np.ndarray:
        """Valence density on the grid, electrons per angstrom^3; of both spins (None) or one."""
        rho = self._current_result().density() / BOHR_IN_ANGSTROM**3
        return rho.sum(axis=0) if spin is None else rho[spin]

    def get_bz_k_points(self) -> np.ndarray:
        """All fractional points of the mesh, before reduction by symmetry."""
        return full_mesh(self._current_result().basis.kpoints)

    def get_bz_to_ibz_map(self) -> np.ndarray:
        """For each of `get_bz_k_points` the equivalent one of `get_ibz_k_points`."""
        return to_irreducible(self._current_result().basis.kpoints)

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
        path, k, weights = points_of(kpts, result, self.parameters)
        e = eigenvalues_at(result, k, nbands) * HARTREE_IN_EV
        results = {
            "eigenvalues": e,
            "fermi_level": self._get("fermi_level"),
            "ibz_kpoints": k,
            "kpoint_weights": weights,
        }
        return FixedDensity(result.model.atoms.copy(), results, path)


def _stopped_early(result: Result, atoms: Atoms) -> bool:
    """Whether a run on the same atoms may be gone on from: it was interrupted, or out of evaluations."""
    early = result.status == "interrupted" or result.stats["evaluations"] >= result.options.maxiter
    return early and bool(np.isfinite(float(result.energies.free))) and not compare_atoms(result.model.atoms, atoms)
