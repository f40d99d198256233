"""The ASE calculator: the core's numbers in ASE's units, nothing computed twice, nothing stale."""

import copy
import dataclasses
import io
import json

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import PropertyNotPresent, SCFError
from ase.dft.bandgap import bandgap
from ase.dft.dos import DOS
from ase.optimize import BFGS
from ase.spectrum.band_structure import calculate_band_structure, get_band_structure
from ase.units import Bohr, Hartree

import dftopt.calculator.ase_calculator as module
from dftopt.calculator.ase_calculator import DFTOpt
from dftopt.calculator.continuation import usable
from dftopt.errors import InputError, NotConverged
from dftopt.minimization.ground_state import minimize

WIDTH = 0.2
KEYWORDS = {
    "xc": "LDA",
    "ecut": 5 * Hartree,
    "kpts": (2, 2, 2),
    "symmetry": False,  # one shape for all displacements
    "occupations": {"name": "fermi-dirac", "width": WIDTH},
    "nbands": 8,
    "tol": 1e-9,
    "txt": None,
}


def silicon(displacement=(0.08, 0.02, -0.05)):
    atoms = bulk("Si")
    atoms.positions[1] += displacement
    return atoms


@pytest.fixture(scope="module")
def kept():
    """Atoms with a calculator that has computed energy, forces and stress; tests must leave both as they are."""
    atoms = silicon()
    atoms.calc = DFTOpt(**KEYWORDS)
    atoms.get_potential_energy()
    atoms.get_forces()
    atoms.get_stress()
    return atoms


@pytest.fixture
def minimizations(monkeypatch):
    """Starts of all minimizations that the calculator begins."""
    starts = []

    def counted(*args, start="atomic", **kwargs):
        starts.append(start)
        return minimize(*args, start=start, **kwargs)

    monkeypatch.setattr(module, "minimize", counted)
    return starts


@pytest.fixture
def instant(monkeypatch, kept):
    """Instead of minimizing, count, and return the kept result with the new atoms in it."""
    done = []

    def fake(model, basis, **options):
        done.append(model)
        return dataclasses.replace(kept.calc.result, model=model)

    monkeypatch.setattr(module, "minimize", fake)
    return done


# ---------------------------------------------------------------------------------------------------- numbers


def test_energies_forces_and_stress_are_the_cores(kept):
    r = kept.calc.result
    assert kept.get_potential_energy() == pytest.approx(r.energies.zero * Hartree, abs=1e-12)
    assert kept.get_potential_energy(force_consistent=True) == pytest.approx(r.energies.free * Hartree, abs=1e-12)
    assert r.energies.free < r.energies.zero < r.energies.total
    np.testing.assert_allclose(kept.get_forces(), r.forces() * Hartree / Bohr, atol=1e-12)
    s = r.stress() * Hartree / Bohr**3
    np.testing.assert_allclose(kept.get_stress(), [s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]], atol=1e-14)
    np.testing.assert_allclose(kept.get_stress(voigt=False), s, atol=1e-14)
    assert r.basis.ecut == pytest.approx(5) and r.options.temperature == pytest.approx(WIDTH / Hartree)


def test_forces_are_minus_the_slope_of_the_free_energy(kept):
    h, value = 0.01, []
    moving = kept.copy()
    moving.calc = copy.deepcopy(kept.calc)
    direction = np.array([0.6, 0.0, 0.8])
    for sign in (1, -1):
        moving.positions = kept.positions
        moving.positions[0] += sign * h * direction
        value.append(moving.get_potential_energy(force_consistent=True))
    assert -(value[0] - value[1]) / (2 * h) == pytest.approx(kept.get_forces()[0] @ direction, abs=2e-3)
    assert np.abs(kept.get_forces()).max() > 0.5


# ---------------------------------------------------------------------------------------------------- nothing twice


def test_nothing_is_computed_twice(kept, minimizations, monkeypatch):
    for name in ("forces", "stress"):
        monkeypatch.setattr(type(kept.calc.result), name, lambda self: pytest.fail("computed again"))
    kept.get_potential_energy()
    kept.get_forces()
    kept.get_stress()
    kept.calc.set(txt=None, **{k: copy.deepcopy(v) for k, v in KEYWORDS.items() if k != "txt"})
    kept.get_potential_energy()
    kept.copy().calc = kept.calc
    assert not minimizations and not kept.calc.calculation_required(kept, ["energy", "forces", "stress"])


def test_forces_and_stress_wait_until_they_are_asked_for(kept, instant):
    atoms = kept.copy()
    atoms.calc = DFTOpt(**KEYWORDS)
    atoms.get_potential_energy()
    assert "forces" not in atoms.calc.results and "stress" not in atoms.calc.results
    atoms.get_forces()
    assert "stress" not in atoms.calc.results
    np.testing.assert_allclose(atoms.get_stress(), kept.get_stress())
    assert len(instant) == 1


def _move(atoms):
    atoms.positions[0, 0] += 1e-6


def _strain(atoms):
    atoms.cell[0, 0] += 1e-6


def _transmute(atoms):
    atoms.numbers[0] = 32


def _charge(atoms):
    atoms.set_initial_charges([0.0, 0.0])


def _magnetize(atoms):
    atoms.set_initial_magnetic_moments([0.0, 0.0])


@pytest.mark.parametrize("change", [_move, _strain, _transmute, _charge, _magnetize])
def test_a_change_of_the_atoms_forgets(kept, instant, change):
    atoms = kept.copy()
    atoms.calc = DFTOpt(**KEYWORDS)
    atoms.get_potential_energy()
    change(atoms)
    assert atoms.calc.calculation_required(atoms, ["energy"])
    atoms.get_potential_energy()
    assert len(instant) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"xc": "PBE"},
        {"ecut": 140.0},
        {"kpts": {"size": (2, 2, 2), "gamma": False}},
        {"occupations": {"name": "fermi-dirac", "width": 0.3}},
        {"nbands": 9},
        {"tol": 1e-8},
        {"symmetry": True},
        {"seed": 1},
    ],
)
def test_a_change_of_a_keyword_forgets(kept, instant, change):
    atoms = kept.copy()
    atoms.calc = DFTOpt(**KEYWORDS)
    atoms.get_potential_energy()
    atoms.calc.set(**change)
    with pytest.raises(PropertyNotPresent):
        atoms.calc.get_fermi_level()
    with pytest.raises(PropertyNotPresent, match="get_potential_energy"):
        atoms.calc.band_structure()
    atoms.get_potential_energy()
    assert len(instant) == 2


def test_dictionaries_of_the_caller_are_copied_and_ours_are_watched(kept, instant):
    occupations = {"name": "fermi-dirac", "width": WIDTH}
    atoms = kept.copy()
    atoms.calc = DFTOpt(**{**KEYWORDS, "occupations": occupations})
    atoms.get_potential_energy()
    occupations["width"] = 0.5
    assert atoms.calc.parameters["occupations"]["width"] == WIDTH
    atoms.calc.set(occupations=occupations)
    atoms.get_potential_energy()
    atoms.calc.parameters["occupations"]["width"] = 0.4
    atoms.get_potential_energy()
    assert len(instant) == 3


def test_periodicity_is_checked_by_the_core(kept):
    atoms = kept.copy()
    atoms.calc = copy.deepcopy(kept.calc)
    atoms.pbc = (True, True, False)
    with pytest.raises(InputError, match="periodic"):
        atoms.get_potential_energy()
    with pytest.raises(InputError, match="periodic"):
        atoms.get_potential_energy()  # nothing old comes back


def test_a_moved_structure_starts_from_the_last_orbitals_and_does_not_compile(kept, minimizations):
    atoms = kept.copy()
    atoms.calc = copy.deepcopy(kept.calc)
    for i in range(2):
        atoms.positions[1] += (0.01, -0.02, 0.015)
        atoms.get_forces()
        assert minimizations[i] is not None and not isinstance(minimizations[i], str)
        assert atoms.calc.result.stats.hamiltonian_applications < kept.calc.result.stats.hamiltonian_applications
    assert atoms.calc.result.stats.compilations <= 1  # nothing that depends on the shape
    atoms.positions[1] += (0.5, 0.3, 0.0)
    atoms.get_potential_energy()
    assert minimizations[2] == "atomic"
    # A is stationary, E(T -> 0) is not: its error is of first order
    cold = DFTOpt(**KEYWORDS)
    assert atoms.get_potential_energy(force_consistent=True) == pytest.approx(
        cold.get_potential_energy(atoms, True), abs=1e-8
    )
    assert atoms.get_potential_energy() == pytest.approx(cold.get_potential_energy(atoms), abs=1e-5)


def test_a_strained_cell_starts_from_orbitals_carried_to_its_plane_waves(kept, minimizations):
    atoms = kept.copy()
    atoms.set_cell(atoms.cell.array * 1.004, scale_atoms=True)
    atoms.calc = copy.deepcopy(kept.calc)
    warm = atoms.get_potential_energy(force_consistent=True)
    start = minimizations[0]
    assert start.psi.shape[-1] == atoms.calc.result.basis.npw
    assert any(
        len(a) != len(b) for a, b in zip(kept.calc.result.basis.spheres, atoms.calc.result.basis.spheres, strict=True)
    )
    psi = np.asarray(start.point["psi"])
    overlap = np.einsum("skbg,skcg->skbc", psi.conj(), psi)
    np.testing.assert_allclose(overlap, np.broadcast_to(np.eye(overlap.shape[-1]), overlap.shape), atol=1e-12)
    assert warm == pytest.approx(DFTOpt(**KEYWORDS).get_potential_energy(atoms, force_consistent=True), abs=1e-8)


def test_orbitals_are_not_carried_to_other_atoms(kept):
    other = kept.copy()
    other.symbols[0] = "Ge"
    assert usable(kept.calc.result, module.setup.build(other, {"ecut": 136.0, "kpts": (2, 2, 2)}).basis) is None
    assert usable(kept.calc.result, module.setup.build(kept, {"ecut": 136.0, "kpts": (3, 1, 1)}).basis) is None


# ---------------------------------------------------------------------------------------------------- what goes wrong


def test_an_unknown_keyword_names_the_nearest(kept):
    with pytest.raises(InputError, match="ecut"):
        DFTOpt(ecutt=300)
    with pytest.raises(InputError, match="nbands"):
        kept.calc.set(nband=3)
    with pytest.raises(InputError, match="fixed_density"):
        kept.calc.set(kpts=kept.cell.bandpath("GX", npoints=3))
    with pytest.raises(InputError):
        DFTOpt(**{**KEYWORDS, "kpts": [[0, 0, 0], [1]]}).get_potential_energy(kept)


@pytest.mark.parametrize("path", [{"path": "LGX", "npoints": 8}, bulk("Si").cell.bandpath("LGX", npoints=8)])
def test_a_path_is_no_mesh(path):
    with pytest.raises(InputError, match="band path"):
        DFTOpt(txt=None).set(kpts=path)


def test_not_converged_gives_no_energy_but_can_be_continued(minimizations):
    atoms = silicon()
    atoms.calc = DFTOpt(**{**KEYWORDS, "maxiter": 3})
    for error in (NotConverged, SCFError):
        with pytest.raises(error, match="maxiter"):
            atoms.get_potential_energy()
    assert len(minimizations) == 1  # the second call did not try the same again
    assert not atoms.calc.result.converged and "energy" not in atoms.calc.results
    interrupted = atoms.calc.result
    atoms.calc.set(maxiter=100)
    atoms.get_potential_energy()
    assert minimizations[1] is interrupted


# ---------------------------------------------------------------------------------------------------- levels


def test_getters(kept):
    calc, r = kept.calc, kept.calc.result
    assert calc.get_number_of_spins() == 1 and not calc.get_spin_polarized() and calc.get_number_of_bands() == 8
    assert calc.get_fermi_level() == pytest.approx(r.fermi_level * Hartree)
    assert calc.get_ibz_k_points().shape == (8, 3) and calc.get_k_point_weights().sum() == pytest.approx(1)
    np.testing.assert_allclose(calc.get_eigenvalues(kpt=3), r.eigenvalues[0, 3] * Hartree)
    electrons = sum(w * calc.get_occupation_numbers(kpt=k).sum() for k, w in enumerate(calc.get_k_point_weights()))
    assert electrons == pytest.approx(8)
    assert calc.get_xc_functional() == "LDA"
    homo, lumo = calc.get_homo_lumo()
    assert homo < calc.get_fermi_level() < lumo
    assert bandgap(calc)[0] == pytest.approx(0, abs=lumo - homo)
    outputs = calc.export_properties()
    assert outputs["nkpts"] == 8 and outputs["forces"].shape == (2, 3)
    assert np.isfinite(DOS(calc, npts=21, width=0).get_dos()).all()  # tetrahedra need the map of the full mesh


def test_the_map_of_the_full_mesh_agrees_with_the_weights(kept, instant):
    atoms = bulk("Si")
    calc = DFTOpt(**{**KEYWORDS, "symmetry": True, "kpts": (4, 4, 2)})
    basis = module.setup.build(atoms, {"kpts": (4, 4, 2), "ecut": 136.0}).basis
    calc._current_result = lambda: dataclasses.replace(kept.calc.result, basis=basis)
    full, to = calc.get_bz_k_points(), calc.get_bz_to_ibz_map()
    np.testing.assert_allclose(np.bincount(to) / len(full), basis.kpoints.weights)


def test_bands_both_ways_leave_the_ground_state_alone(kept, minimizations):
    path = kept.cell.bandpath("GX", npoints=8)
    before = dict(kept.calc.results)
    ours = kept.calc.band_structure(path)
    assert ours.energies.shape == (1, 8, 8)
    np.testing.assert_allclose(ours.energies[0, 0, :4], kept.calc.get_eigenvalues(kpt=0)[:4], atol=1e-4)
    asked = calculate_band_structure(kept, path=path)  # sets bandpath= on the calculator
    fixed = kept.calc.fixed_density(kpts={"path": "GX", "npoints": 8})
    for other in (asked, fixed.band_structure(), get_band_structure(calc=fixed)):
        np.testing.assert_allclose(other.energies, ours.energies, atol=1e-6)
    assert not minimizations and kept.calc.results.keys() == before.keys()
    assert "bandpath" not in kept.calc.todict()
    mesh = kept.calc.fixed_density(kpts=(2, 2, 2))
    np.testing.assert_allclose(mesh.get_k_point_weights(), 1 / 8)
    np.testing.assert_allclose(mesh.get_eigenvalues(3)[:4], kept.calc.get_eigenvalues(3)[:4], atol=1e-4)
    with pytest.raises(InputError, match="special points"):
        kept.calc.fixed_density(kpts={"path": "QZ"})


# ---------------------------------------------------------------------------------------------------- ASE around it


def test_files_and_databases_keep_results_and_keywords(kept, tmp_path):
    kept.write(tmp_path / "si.traj")
    back = ase.io.read(tmp_path / "si.traj")
    assert back.get_potential_energy() == kept.get_potential_energy()
    np.testing.assert_allclose(back.get_forces(), kept.get_forces())
    np.testing.assert_allclose(back.get_stress(), kept.get_stress())
    assert back.calc.parameters["occupations"] == KEYWORDS["occupations"]
    kept.write(tmp_path / "si.xyz")
    assert ase.io.read(tmp_path / "si.xyz").get_potential_energy() == pytest.approx(kept.get_potential_energy())
    with ase.db.connect(tmp_path / "si.json") as db:
        db.write(kept)
    row = ase.db.connect(tmp_path / "si.json").get(1)
    assert row.energy == pytest.approx(kept.get_potential_energy()) and row.calculator_parameters["xc"] == "LDA"
    json.dumps(DFTOpt(minimizer=object(), pseudopotentials={"Si": tmp_path}, ecut=np.float64(3)).todict())


def test_keywords_from_a_file_make_the_same_calculator(kept):
    again = DFTOpt(txt=None, **json.loads(json.dumps(kept.calc.todict())))
    assert again.todict() == kept.calc.todict()


def test_two_steps_of_a_relaxation(kept, minimizations):
    atoms = kept.copy()
    atoms.calc = copy.deepcopy(kept.calc)
    before = np.abs(atoms.get_forces()).max()
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=2)
    assert np.abs(atoms.get_forces()).max() < before and len(minimizations) == 2


# ---------------------------------------------------------------------------------------------------- log


def test_the_log_of_a_calculator_is_one_file(kept, instant, tmp_path):
    atoms = kept.copy()
    atoms.calc = DFTOpt(**{**KEYWORDS, "txt": "si.txt"}, directory=tmp_path)
    atoms.get_forces()
    atoms.positions[0, 0] += 0.01
    atoms.get_stress()
    text = (tmp_path / "si.txt").read_text()
    assert text.count("FFT grid") == 2 and text.count("forces (eV/angstrom)") == 1 and text.count("pressure") == 1
    assert "orbitals of the last calculation" in text
    stream = io.StringIO()
    atoms.calc.set(txt=stream, tol=1e-8)
    atoms.get_potential_energy()
    assert "converged" in stream.getvalue() and (tmp_path / "si.txt").read_text() == text
    atoms.calc.set(txt=tmp_path / "no" / "folder.txt", tol=1e-9)
    with pytest.raises(InputError, match="log"):
        atoms.get_potential_energy()


def test_the_log_goes_to_the_terminal_by_default(kept, instant, capsys):
    DFTOpt(**{k: v for k, v in KEYWORDS.items() if k != "txt"}).get_potential_energy(kept)
    assert "k points" in capsys.readouterr().out
