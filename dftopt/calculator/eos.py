"""Equation of state: free energy against volume, and the curve of Birch and Murnaghan through it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.units import GPa

from dftopt.atoms.checks import check_positive
from dftopt.calculator.journal import Journal
from dftopt.calculator.relax import relax
from dftopt.calculator.series import Stopped
from dftopt.errors import InputError, NotConverged

RANGE, POINTS = 0.06, 7  # largest change of the volume, and how many volumes
FEWEST = 4  # points that determine the curve
SCATTER = 1e-3  # eV per atom about the curve that deserves a word
INTERNAL = ("ions", "shape")


@dataclass(frozen=True)
class BirchMurnaghan:
    r"""The third-order curve, a cubic polynomial in $x = V^{-2/3}$.

    $E(V) = E_0 + \frac{9 V_0 B_0}{16} \{ [(V_0/V)^{2/3} - 1]^3 B_0'
    + [(V_0/V)^{2/3} - 1]^2 [6 - 4 (V_0/V)^{2/3}] \}$.

    Attributes:
        v0: volume of lowest energy, angstrom^3.
        e0: energy there, eV.
        b0: bulk modulus, GPa.
        b1: its derivative with respect to pressure.
        residual: root mean square of the points about the curve, eV.

    References:
        Birch, Phys. Rev. 71, 809 (1947).
    """

    v0: float
    e0: float
    b0: float
    b1: float
    residual: float = 0.0

    def energy(self, volume) -> np.ndarray:
        """E(V), eV."""
        x = (self.v0 / np.asarray(volume, float)) ** (2 / 3)
        return self.e0 + 9 / 16 * self.v0 * self.b0 * GPa * ((x - 1) ** 3 * self.b1 + (x - 1) ** 2 * (6 - 4 * x))

    def pressure(self, volume) -> np.ndarray:
        """-dE/dV, GPa."""
        x = (self.v0 / np.asarray(volume, float)) ** (1 / 3)
        return 1.5 * self.b0 * (x**7 - x**5) * (1 + 0.75 * (self.b1 - 4) * (x**2 - 1))


def fit(volumes, energies) -> BirchMurnaghan:
    """Least squares; linear, as the curve is a polynomial.

    Args:
        volumes: angstrom^3, at least four.
        energies: eV.

    Raises:
        InputError: too few points, or no minimum between them.
    """
    v, e = np.asarray(volumes, float), np.asarray(energies, float)
    if len(v) < FEWEST or len(v) != len(e):
        raise InputError(f"{len(v)} points of an equation of state: at least {FEWEST} volumes are needed.")
    middle = v.mean()
    x = (middle / v) ** (2 / 3)
    p = np.polynomial.Polynomial.fit(x, e - e.mean(), 3).convert()
    slope, curvature, third = (p.deriv(n) for n in (1, 2, 3))
    roots = slope.roots()
    minima = [float(r.real) for r in np.atleast_1d(roots) if abs(r.imag) < 1e-12 and curvature(r.real) > 0]
    inside = [r for r in minima if x.min() <= r <= x.max()]
    if not inside:
        side = "larger" if e[v.argmax()] < e[v.argmin()] else "smaller"
        raise InputError(
            f"the energies have no minimum between {v.min():.3f} and {v.max():.3f} angstrom^3: it lies at {side} volumes. "
            "Start from a structure nearer to it, or take a wider range."
        )
    x0 = inside[0]
    v0 = middle * x0**-1.5
    b0 = 4 / 9 * x0**2 * curvature(x0) / v0
    b1 = 4 + 2 / 3 * x0 * third(x0) / curvature(x0)
    residual = float(np.sqrt(np.mean((p(x) - (e - e.mean())) ** 2)))
    return BirchMurnaghan(float(v0), float(p(x0) + e.mean()), float(b0 / GPa), float(b1), residual)


@dataclass(frozen=True)
class Point:
    """One volume: factor to that of the start, volume (angstrom^3), E(T -> 0) and free energy (eV), largest force (eV/angstrom)."""

    factor: float
    volume: float
    energy: float
    free_energy: float
    fmax: float | None
    positions: list[list[float]] = field(repr=False)
    cell: list[list[float]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class EquationOfState:
    """Points and the curve through their free energies.

    Attributes:
        points: by volume.
        curve: `BirchMurnaghan`; None where it cannot be fitted.
        failed: factors whose calculation did not converge, and why.
        verdict: what came out, in words.
        natoms: atoms in the cell.
    """

    points: list[Point]
    curve: BirchMurnaghan | None
    failed: dict[float, str]
    verdict: str
    natoms: int

    @property
    def converged(self) -> bool:
        """Whether all points converged and the curve has its minimum among them."""
        return self.curve is not None and not self.failed


def equation_of_state(
    atoms: Atoms,
    span: float = RANGE,
    points: int = POINTS,
    internal: str | None = None,
    fmax: float = 0.01,
    volumes: Sequence[float] | None = None,
    journal: Journal | None = None,
    report: Callable[[Point], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> EquationOfState:
    """Free energy at several volumes with one k mesh and one compilation.

    Args:
        atoms: near equilibrium, with a calculator (`DFTOpt`, or any of ASE); not changed.
        span: volumes from 1 - span to 1 + span times that of the structure.
        points: how many, equally spaced.
        internal: None scales positions with the cell; "ions" relaxes them at every volume, "shape" the shape of the cell too.
        fmax: where they are relaxed, eV/angstrom.
        volumes: factors to use in place of span and points.
        journal: keeps what is finished; what it holds is not computed again.
        report: called with every point.
        stop: asked before every point; True ends the work.

    Returns:
        The `EquationOfState`.

    Raises:
        InputError: wrong options, before anything is computed.
        Stopped: `stop` said so, before or within a point.
    """
    changes = factors(span, points, volumes)
    if atoms.calc is None:
        raise InputError("equation_of_state needs atoms with a calculator: atoms.calc = DFTOpt(...).")
    if internal is not None and internal not in INTERNAL:
        raise InputError(f"internal = {internal!r} must be None, 'ions' or 'shape'.")
    check_positive("fmax", fmax, "eV/angstrom", "0.01 is typical.")
    calc = atoms.calc
    if hasattr(calc, "reserve"):
        calc.reserve(atoms, room=max(changes[-1] ** (1 / 3) - 1, 0.0) + 1e-3)
    done: list[Point] = []
    failed: dict[float, str] = {}
    at = atoms.copy()  # positions relaxed at one volume start the next
    for factor in changes:
        key = f"{factor:.8f}"
        if journal is not None and key in journal:
            point = Point(**journal[key])
        else:
            if stop():
                raise Stopped("stopped before the next volume.")
            try:
                point = _point(at if internal else atoms, calc, factor * atoms.get_volume(), factor, internal, fmax)
            except NotConverged as error:
                if getattr(getattr(calc, "result", None), "status", "") == "interrupted":
                    raise Stopped("stopped.") from None
                failed[factor] = str(error)
                continue
            if journal is not None:
                journal.add(key, vars(point))
        done.append(point)
        at.set_cell(point.cell)
        at.set_positions(point.positions, apply_constraint=False)
        if report is not None:
            report(point)
    return _result(done, failed, len(atoms))


def factors(span: float = RANGE, points: int = POINTS, volumes: Sequence[float] | None = None) -> list[float]:
    """Volumes to compute, in units of that of the structure, ascending; see `equation_of_state`.

    Raises:
        InputError: too few, or far away.
    """
    if volumes is None:
        span = check_positive("range", span, "", "0.06 is typical: volumes from 94 % to 106 %.")
        if isinstance(points, bool) or int(points) != points:
            raise InputError(f"points = {points!r} must be a whole number of at least {FEWEST}.")
        volumes = np.linspace(1 - span, 1 + span, int(points)).tolist()
    found = sorted({round(float(v), 8) for v in volumes})
    if len(found) < FEWEST:
        raise InputError(f"{len(found)} volumes do not determine the curve: at least {FEWEST} are needed, 7 are usual.")
    if not 0.3 <= found[0] <= found[-1] <= 3.0:
        raise InputError(
            f"volumes from {found[0]:g} to {found[-1]:g} times that of the start: keep them between 0.3 and 3."
        )
    return found


def _point(start: Atoms, calc, volume: float, factor: float, internal: str | None, fmax: float) -> Point:
    moved = start.copy()
    moved.set_cell(moved.cell.array * (volume / moved.get_volume()) ** (1 / 3), scale_atoms=True)
    moved.calc = calc
    largest = None
    if internal is not None:
        found = relax(moved, "shape" if internal == "shape" else None, fmax=fmax)
        if not found.converged:
            raise NotConverged(f"the relaxation at {factor:g} of the volume {found.verdict}.")
        largest = found.steps[-1].fmax
    energy, free = moved.get_potential_energy(), moved.get_potential_energy(force_consistent=True)
    places = {"positions": moved.positions.tolist(), "cell": moved.cell.array.tolist()}
    return Point(factor, float(moved.get_volume()), float(energy), float(free), largest, **places)


def _result(done: list[Point], failed: dict[float, str], natoms: int) -> EquationOfState:
    try:
        curve = fit([p.volume for p in done], [p.free_energy for p in done])
    except InputError as error:
        return EquationOfState(done, None, failed, str(error), natoms)
    verdict = (
        f"V0 = {curve.v0:.4f} angstrom^3 ({curve.v0 / natoms:.4f} per atom), B0 = {curve.b0:.2f} GPa, B0' = {curve.b1:.2f}; "
        f"the points are {curve.residual / natoms * 1000:.3f} meV per atom about the curve"
    )
    if curve.residual / natoms > SCATTER:
        verdict += ". They scatter: plane waves come and go with the volume. Raise ecut, and look at the k mesh"
    return EquationOfState(done, curve, failed, verdict, natoms)
