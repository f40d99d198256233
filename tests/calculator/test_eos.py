"""Equation of state: the curve, and its points with one compilation."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState as AseEquationOfState
from ase.units import GPa, Hartree

from dftopt.calculator.ase_calculator import DFTOpt
from dftopt.calculator.eos import BirchMurnaghan, equation_of_state, fit
from dftopt.calculator.journal import Journal
from dftopt.calculator.series import Stopped
from dftopt.errors import InputError

CURVE = BirchMurnaghan(v0=40.1, e0=-215.3, b0=95.0, b1=4.3)
SMALL = {"xc": "LDA", "ecut": 5 * Hartree, "kpts": (2, 2, 2), "txt": None}


def copper():
    atoms = bulk("Cu", a=3.6)
    atoms.calc = EMT()
    return atoms


def test_fit_recovers_the_curve_and_its_derivatives():
    v = np.linspace(36, 44, 6)
    found = fit(v, CURVE.energy(v))
    for name in ("v0", "e0", "b0", "b1"):
        assert getattr(found, name) == pytest.approx(getattr(CURVE, name), rel=1e-8)
    assert found.residual < 1e-12
    h = 1e-3
    slope = (CURVE.energy(v + h) - CURVE.energy(v - h)) / (2 * h)
    np.testing.assert_allclose(CURVE.pressure(v), -slope / GPa, atol=1e-5)
    modulus = -40.1 * (CURVE.pressure(40.1 + h) - CURVE.pressure(40.1 - h)) / (2 * h)
    assert modulus == pytest.approx(95.0, rel=1e-6)


def test_fit_agrees_with_that_of_ase():
    v = np.linspace(36, 44, 9)
    e = CURVE.energy(v) + 1e-4 * np.sin(7 * v)
    found = fit(v, e)
    v0, e0, b0 = AseEquationOfState(v, e, eos="birchmurnaghan").fit()
    assert (found.v0, found.e0, found.b0) == pytest.approx((v0, e0, b0 / GPa), rel=1e-6)
    assert found.residual == pytest.approx(np.sqrt(np.mean((found.energy(v) - e) ** 2)), rel=1e-9)


def test_no_minimum_among_the_points_is_said():
    v = np.linspace(41, 46, 6)
    with pytest.raises(InputError, match="smaller volumes"):
        fit(v, CURVE.energy(v))
    with pytest.raises(InputError, match="larger volumes"):
        fit(v - 8, CURVE.energy(v - 8))
    with pytest.raises(InputError, match="at least 4"):
        fit(v[:3], CURVE.energy(v[:3]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"points": 3}, "at least 4"),
        ({"span": -0.1}, "range"),
        ({"span": 0.9}, "between 0.3"),
        ({"internal": "atoms"}, "'ions'"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(InputError, match=words):
        equation_of_state(copper(), **options)


def test_any_calculator_and_a_journal_of_points(tmp_path):
    atoms, seen = copper(), []
    journal = Journal(tmp_path / "eos.journal", {"what": "Cu"})
    with pytest.raises(Stopped):
        equation_of_state(atoms, journal=journal, report=seen.append, stop=lambda: len(seen) == 3)
    again = Journal(tmp_path / "eos.journal", {"what": "Cu"})
    assert len(again) == 3
    found = equation_of_state(atoms, journal=again)
    assert [p.factor for p in found.points] == pytest.approx(np.linspace(0.94, 1.06, 7))
    assert found.points[:3] == seen and found.converged
    assert found.curve.v0 == pytest.approx(11.565, abs=0.01) and found.curve.b0 == pytest.approx(134, abs=3)  # of EMT
    assert atoms.get_volume() == pytest.approx(3.6**3 / 4)
    far = copper()
    far.set_cell(far.cell.array * 1.1, scale_atoms=True)
    missed = equation_of_state(far)
    assert missed.curve is None and not missed.converged and "smaller volumes" in missed.verdict


def test_atoms_and_shape_are_relaxed_at_every_volume():
    atoms = bulk("Cu", "hcp", a=2.55, c=4.3)
    atoms.positions[1] += (0.05, 0.0, 0.03)
    atoms.calc = EMT()
    stiff = equation_of_state(atoms, points=4)
    ions = equation_of_state(atoms, points=4, internal="ions", fmax=1e-3)
    shape = equation_of_state(atoms, points=4, internal="shape", fmax=1e-3)
    for a, b, c in zip(stiff.points, ions.points, shape.points, strict=True):
        assert a.volume == pytest.approx(b.volume) and a.volume == pytest.approx(c.volume, rel=1e-6)
        assert a.free_energy > b.free_energy + 1e-3 > c.free_energy + 1e-3
        assert b.fmax < 1e-3 and c.fmax < 1e-3


def test_ten_volumes_are_compiled_once():
    """All but the first start from orbitals of the ones before, too."""
    atoms = bulk("Si")
    atoms.calc = DFTOpt(**SMALL)
    work = []
    found = equation_of_state(atoms, points=10, report=lambda point: work.append(atoms.calc.result.stats))
    assert len(found.points) == 10 and work[0].compilations > 0
    assert [w.compilations for w in work[4:]] == [0] * 6  # by then carrying two and three results is compiled, too
    assert (
        sum(w.compilations for w in work[1:4]) <= 6
        and sum(w.compile_seconds for w in work[1:]) < work[0].compile_seconds
    )
    assert np.mean([w.iterations for w in work[3:]]) < 0.8 * work[0].iterations
    cold = DFTOpt(**SMALL, fft=atoms.calc.result.basis.fft)
    last = atoms.copy()
    last.set_cell(found.points[-1].cell, scale_atoms=True)
    assert cold.get_potential_energy(last, force_consistent=True) == pytest.approx(
        found.points[-1].free_energy, abs=1e-8
    )
