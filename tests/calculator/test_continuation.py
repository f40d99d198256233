"""From one structure to the next: extrapolated orbitals, kept shapes and meshes, files to go on from."""

import copy
import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotPresent
from ase.md.verlet import VelocityVerlet
from ase.units import Hartree

import dftopt
from dftopt.atoms.structure import from_ase
from dftopt.calculator.ase_calculator import CalculationNotConverged, DFTOpt
from dftopt.calculator.extrapolation import coefficients, extrapolated
from dftopt.calculator.restart import keywords_of, restart
from dftopt.errors import InputError
from dftopt.minimization.orbitals import overlap

KEYWORDS = {
    "xc": "LDA",
    "ecut": 5 * Hartree,
    "kpts": (2, 2, 2),
    "symmetry": False,  # one shape for all displacements
    "occupations": {"name": "fermi-dirac", "width": 0.2},
    "nbands": 8,
    "txt": None,
}


def silicon(step=0.0):
    """On a curved path."""
    atoms = bulk("Si")
    atoms.positions[1] += (0.08 + 0.02 * step, 0.02 - 0.01 * step**2, -0.05 + 0.015 * step)
    return atoms


@pytest.fixture(scope="module")
def walked():
    """A calculator that has computed three structures and the forces of the last; tests must leave it as it is."""
    calc = DFTOpt(**KEYWORDS)
    for step in range(3):
        calc.get_potential_energy(silicon(step))
    calc.get_forces(calc.atoms)
    return calc


# ---------------------------------------------------------------------------------------------------- extrapolation


def points(*x):
    """Structures along a line or a curve."""
    return [from_ase(silicon(step)) for step in x]


def test_steps_of_equal_length_are_continued_smoothly():
    np.testing.assert_allclose(coefficients(points(3, 2, 1, 0)), [3, -3, 1], atol=1e-2)
    np.testing.assert_allclose(coefficients(points(2, 1, 0)), [2, -1], atol=0.4)
    np.testing.assert_array_equal(coefficients(points(1, 0)), [1])


def test_the_combination_is_the_nearest_one_and_ignores_lattice_vectors():
    atoms = [silicon(s) for s in (2.5, 2, 0.5, 0)]
    target = atoms[0].positions[1]
    c = coefficients([from_ase(a) for a in atoms])
    assert c.sum() == pytest.approx(1)
    reached = sum(x * a.positions[1] for x, a in zip(c, atoms[1:], strict=True))
    assert np.linalg.norm(reached - target) < 0.1 * np.linalg.norm(atoms[1].positions[1] - target)
    atoms[2].positions[1] += atoms[2].cell[0]
    np.testing.assert_allclose(coefficients([from_ase(a) for a in atoms]), c, atol=1e-9)


def test_wild_combinations_are_not_used():
    np.testing.assert_array_equal(coefficients(points(30, 2, 1.999, 1.998)), [1, 0, 0])


def test_extrapolated_orbitals_are_near_and_orthonormal(walked):
    results = walked._memory.results
    assert len(results) == 3
    model = dftopt.Model(silicon(3), xc="LDA")
    basis = dftopt.PlaneWaves(model, ecut=5, kpts=(2, 2, 2), symmetry=False, like=results[0].basis)
    start = extrapolated(results, basis)
    psi = start.point["psi"]
    np.testing.assert_allclose(overlap(psi, psi), np.broadcast_to(np.eye(8), (1, 8, 8, 8)), atol=1e-10)
    options = {"temperature": 0.2 / Hartree, "nbands": 8, "tol": 1e-10, "progress": False}
    plain, better = (dftopt.minimize(model, basis, start=s, **options) for s in (results[0], start))
    assert better.errors[0] < 0.02 * plain.errors[0] and better.stats.iterations < plain.stats.iterations
    assert better.energies.free == pytest.approx(plain.energies.free, abs=1e-9)
    # the frame of an earlier result does not matter
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    turned = copy.copy(results[1])
    eta = np.einsum("ji,skj,jl->skil", turn, np.asarray(results[1].point["occ"]), turn)
    e, q = np.linalg.eigh(eta)
    frame = jnp.einsum("skji,skjg->skig", turn @ q, results[1].point["psi"])
    object.__setattr__(turned, "point", {"psi": frame, "occ": jnp.asarray(e)})
    again = extrapolated([results[0], turned, results[2]], basis).point
    np.testing.assert_allclose(again["occ"], start.point["occ"], atol=1e-9)
    np.testing.assert_allclose(np.abs(overlap(again["psi"], psi)) ** 2 @ np.ones(8), 1.0, atol=1e-9)


def test_bands_settle_sooner_from_the_buffer_of_the_last_structure(walked):
    last = walked._memory.results[0]
    model = dftopt.Model(silicon(3), xc="LDA")
    basis = dftopt.PlaneWaves(model, ecut=5, kpts=(2, 2, 2), symmetry=False, like=last.basis)
    options = {"temperature": 0.2 / Hartree, "nbands": 8, "tol": 1e-10, "progress": False}
    kept, anew = (
        dftopt.minimize(model, basis, start=s, **options) for s in (last, dataclasses.replace(last, buffer=None))
    )
    assert kept.stats.evaluations == anew.stats.evaluations
    settling = lambda r: r.stats.hamiltonian_applications - r.stats.evaluations * r.occupations.size
    assert settling(kept) < 0.9 * settling(anew)
    np.testing.assert_allclose(kept.eigenvalues, anew.eigenvalues, atol=1e-8)


def test_other_moments_other_atoms_and_other_keywords_start_anew(walked):
    memory, basis = walked._memory, walked.result.basis
    assert memory.start(basis) is not None
    atoms = silicon(2)
    atoms.set_initial_magnetic_moments([1.0, -1.0])
    polarized = dftopt.Model(atoms, xc="LDA", spinpol=True)
    assert memory.start(dftopt.PlaneWaves(polarized, ecut=5, kpts=(2, 2, 2), symmetry=False)) is None
    calc = copy.deepcopy(walked)
    assert calc._build(atoms).basis.npw == basis.npw
    calc.set(ecut=6 * Hartree)
    assert calc._build(silicon(2)).basis.npw != basis.npw


# ---------------------------------------------------------------------------------------------------- shapes and meshes


def test_a_mesh_by_spacing_is_kept_while_the_cell_is_about_the_same():
    atoms = bulk("Si")
    calc = DFTOpt(xc="LDA", ecut=5 * Hartree, kpts={"spacing": 0.51}, txt=None)
    larger = atoms.copy()
    larger.set_cell(atoms.cell.array * 1.06, scale_atoms=True)
    assert calc._build(larger).basis.kpoints.size == (4, 4, 4) == calc._build(atoms).basis.kpoints.size
    smaller = atoms.copy()
    smaller.set_cell(atoms.cell.array * 0.94, scale_atoms=True)
    assert calc._build(smaller).basis.kpoints.size == (5, 5, 5)
    calc.reserve(atoms, room=0.06)
    assert calc._build(smaller).basis.kpoints.size == (4, 4, 4)
    sizes = [calc._build(a).basis.sizes for a in (smaller, atoms, larger)]
    assert sizes[0] == sizes[1] == sizes[2]
    far = atoms.copy()
    far.set_cell(atoms.cell.array * 0.7, scale_atoms=True)
    calc.parameters["force"] = True
    assert calc._build(far).basis.kpoints.size != (4, 4, 4)


def test_a_first_structure_has_the_grid_of_the_core(walked):
    model = dftopt.Model(silicon(0), xc="LDA")
    assert walked.result.basis.fft == dftopt.PlaneWaves(model, ecut=5, kpts=(2, 2, 2)).fft


# ---------------------------------------------------------------------------------------------------- files


def test_a_restarted_calculator_knows_what_the_first_one_knew(walked, tmp_path, monkeypatch):
    path = walked.write(tmp_path / "si.h5")
    for name in ("forces", "stress"):
        monkeypatch.setattr(dftopt.Result, name, lambda self: pytest.fail("computed again"))
    monkeypatch.setattr("dftopt.calculator.ase_calculator.minimize", lambda *a, **k: pytest.fail("minimized again"))
    for atoms, calc in (restart(path), _by_hand(path)):
        assert atoms.get_potential_energy() == walked.results["energy"]
        np.testing.assert_array_equal(atoms.get_forces(), walked.results["forces"])
        np.testing.assert_array_equal(atoms.positions, walked.atoms.positions)
        assert calc.get_fermi_level() == walked.get_fermi_level()
        assert calc.todict() == walked.todict() and calc.atoms is not None
    assert dftopt.load(path).converged  # a saved result all the same
    given = silicon(0)
    calc = DFTOpt(path, atoms=given, txt=None)
    assert given.calc is calc and given.get_potential_energy() == walked.results["energy"]


def _by_hand(path):
    calc = DFTOpt(path, txt=None)
    return calc.get_atoms(), calc


def test_a_changed_keyword_computes_again_from_the_saved_orbitals(walked, tmp_path):
    path = walked.write(tmp_path / "si.h5")
    atoms, calc = restart(path, tol=1e-10)
    with pytest.raises(PropertyNotPresent):
        calc.get_fermi_level()
    assert atoms.get_potential_energy(force_consistent=True) == pytest.approx(walked.results["free_energy"], abs=1e-8)
    assert calc.result.stats.iterations < 8


def test_a_result_of_the_core_is_a_restart_file_too(walked, tmp_path):
    walked.result.save(tmp_path / "result.h5")
    atoms, calc = restart(tmp_path / "result.h5")
    assert atoms.get_potential_energy() == pytest.approx(walked.results["energy"])
    assert calc.parameters["ecut"] == pytest.approx(KEYWORDS["ecut"]) and calc.parameters["nbands"] == 8
    words = keywords_of(walked.result)
    assert words["occupations"]["width"] == pytest.approx(0.2) and words["kpts"] == {
        "size": [2, 2, 2],
        "shift": [0, 0, 0],
    }
    assert calc._build(atoms).basis.npw == walked.result.basis.npw


def test_labels_name_the_files(walked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calc = DFTOpt(label="run/si", **{k: v for k, v in KEYWORDS.items() if k != "txt"})
    calc.result, calc._settings, calc.atoms = walked.result, calc._relevant(), walked.atoms
    assert str(calc.write()) == "run/si.h5" and (tmp_path / "run" / "si.h5").exists()
    assert calc.parameters["txt"] == "si.txt" and calc.directory == "run"
    with pytest.raises(InputError, match="label"):
        walked.write()
    with pytest.raises(PropertyNotPresent):
        DFTOpt(**KEYWORDS).write(tmp_path / "no.h5")
    with pytest.raises(InputError, match="no file"):
        DFTOpt(tmp_path / "missing.h5")


def test_a_calculation_that_is_stopped_goes_on(walked):
    calc = copy.deepcopy(walked)
    calc.set(tol=1e-12)
    calc.stop = lambda: True
    with pytest.raises(CalculationNotConverged, match="interrupted"):
        calc.get_potential_energy(silicon(-1))
    stopped = calc.result
    calc.stop = None
    calc.get_potential_energy(silicon(-1))
    assert calc.result.converged and calc.result.history[0] <= stopped.history[-1] + 1e-9


# ---------------------------------------------------------------------------------------------------- on atoms


def test_moments_and_charges_of_atoms(walked):
    atoms, calc = silicon(2), copy.deepcopy(walked)
    atoms.calc = calc
    assert atoms.get_magnetic_moment() == 0.0
    np.testing.assert_array_equal(atoms.get_magnetic_moments(), [0.0, 0.0])
    charges = atoms.get_charges()
    assert charges.shape == (2,) and np.ptp(charges) < 0.05 and 0 <= charges.sum() < 0.5  # what is spilled is missing
    rho = calc.get_pseudo_density()
    assert rho.shape == calc.result.basis.fft and rho.mean() * atoms.get_volume() == pytest.approx(8)


@pytest.mark.slow
def test_dynamics_conserve_the_energy_and_take_few_iterations():
    """NVE of Si2 at about 700 K: drift below 1 meV/atom/ps."""
    atoms = bulk("Si")
    p = np.random.default_rng(0).standard_normal((2, 3)) * np.sqrt(units.kB * 1500 * atoms.get_masses()[:, None])
    atoms.set_momenta(p - p.mean(axis=0))
    atoms.calc = DFTOpt(**{**KEYWORDS, "occupations": "fixed", "nbands": None})
    dynamics = VelocityVerlet(atoms, 2 * units.fs)
    total, iterations, compilations = [], [], []
    for _ in range(100):
        total.append(atoms.get_potential_energy(force_consistent=True) + atoms.get_kinetic_energy())
        iterations.append(atoms.calc.result.stats.iterations)
        compilations.append(atoms.calc.result.stats.compilations)
        dynamics.run(1)
    picoseconds = 2e-3 * np.arange(len(total))
    drift = np.polyfit(picoseconds[2:], np.array(total[2:]) / len(atoms) * 1000, 1)[0]
    print(f"drift {drift:.3f} meV/atom/ps, {np.mean(iterations[4:]):.1f} iterations per step, {iterations[1]} without")
    assert abs(drift) < 1.0
    assert np.mean(iterations[4:]) < 0.6 * iterations[1] and sum(compilations[2:]) == 0
