import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from dftopt.alloy import ClusterExpansion, Parent, Supercell
from dftopt.alloy.hamiltonian import hamiltonian
from dftopt.errors import DFTOptWarning, InputError

BCC = bulk("Nb", "bcc", a=3.3)


def exact(ternary, count=60, seed=0):
    """Random structures of the model and their energies, and the model's own matches."""
    rng = np.random.default_rng(seed)
    structures = []
    for i in range(count):
        size = [(2, 2, 2), (2, 2, 1), (3, 2, 1)][i % 3]
        cell = Supercell.of(ternary.parent, size)
        structures.append(cell.atoms([ternary.species[c] for c in rng.integers(3, size=len(cell))]))
    return structures, ternary.predict(structures)


@pytest.mark.parametrize("method", ["ridge", "lasso", "ard"])
def test_a_model_is_found_again(ternary, method):
    structures, energies = exact(ternary)
    ce = ClusterExpansion.fit(
        structures, energies, parent=BCC, cutoffs=(3.4, 3.4), species=ternary.species, method=method, folds=6
    )
    assert ce.coefficients == pytest.approx(ternary.coefficients, abs=2e-5 if method == "lasso" else 1e-6)
    assert ce.cv_rmse < 1e-4
    assert ce.names == ternary.names and not ce.undetermined and not ce.aliases


def test_errors_are_as_large_as_they_say(ternary):
    # with noise, the true coefficients are within the stated deviations: the mean square of 15 ratios over 8 draws is near 1
    structures, energies = exact(ternary)
    n = np.array([len(a) for a in structures])
    ratios = []
    for seed in range(8):
        noise = 0.002 * np.random.default_rng(seed).normal(size=len(n)) * n
        ce = ClusterExpansion.fit(
            structures, energies + noise, parent=BCC, cutoffs=(3.4, 3.4), species=ternary.species, folds=6
        )
        ratios.append((ce.coefficients - ternary.coefficients) / ce.uncertainties)
    assert 0.5 < np.mean(np.array(ratios) ** 2) < 1.6
    energy, deviation = ce.predict(structures[0], uncertainty=True)
    assert 0 < deviation < 0.01 * n[0] and np.isscalar(energy)


def test_binary_of_the_example(nbmota):
    structures, energies, pair = nbmota
    rows = np.flatnonzero(pair == "NbTa")
    with pytest.warns(DFTOptWarning, match="pair 1 = pair 4"):
        ce = ClusterExpansion.fit([structures[i] for i in rows], energies[rows], parent=BCC, cutoffs=(6.0, 4.7))
    assert ce.cv_rmse < 0.13e-3  # eV per atom; 0.12 meV by the independent analysis of the data
    assert ce.aliases == (("pair 1", "pair 4"),)
    assert np.sqrt(np.mean((ce.training["cross_validated"] - ce.training["energy"]) ** 2)) == pytest.approx(ce.cv_rmse)
    b2 = bulk("Nb", "bcc", a=3.3, cubic=True)
    b2.symbols = ["Nb", "Ta"]
    assert ce.predict(b2) / 2 == pytest.approx(-0.1e-3, abs=3e-3)


@pytest.mark.slow
def test_all_of_the_example(nbmota):
    structures, energies, _ = nbmota
    with pytest.warns(DFTOptWarning) as seen:
        ce = ClusterExpansion.fit(structures, energies, parent=BCC, cutoffs=(6.0, 4.7))
    for words in ("10 coefficients undetermined", "pair 1 (1,1) = pair 4 (1,1)"):
        assert any(words in str(w.message) for w in seen)
    assert ce.cv_rmse < 0.8e-3
    assert all(name.startswith("triplet") for name in ce.undetermined)
    ternary, binary = bulk("Nb", "bcc", a=3.3, cubic=True).repeat(2), bulk("Nb", "bcc", a=3.3, cubic=True).repeat(2)
    ternary.symbols = (["Nb", "Mo", "Ta"] * 6)[:16]
    binary.symbols = ["Nb", "Mo"] * 8
    assert ce.predict(ternary, True)[1] > 5 * ce.predict(binary, True)[1]  # what no structure tells is uncertain


def test_equal_configurations_share_a_fold(nbmota):
    structures, energies, pair = nbmota
    rows = np.flatnonzero(pair == "NbTa")
    ce = ClusterExpansion.fit([structures[i] for i in rows], energies[rows], parent=BCC, cutoffs=(4.7,))
    fits = {}
    for fold, value in zip(ce.training["fold"], np.round(ce.training["fitted"], 10), strict=True):
        fits.setdefault(value, set()).add(fold)
    assert max(map(len, fits.values())) == 1


def test_one_file(binary, tmp_path):
    binary.save(tmp_path / "ce.json")
    data = json.loads((tmp_path / "ce.json").read_text())
    assert list(data["coefficients_eV_per_site"]) == list(binary.names)
    again = ClusterExpansion.load(tmp_path / "ce.json")
    b2 = bulk("Nb", "bcc", a=3.3, cubic=True)
    b2.symbols = ["Nb", "Mo"]
    assert again.predict(b2, uncertainty=True) == binary.predict(b2, uncertainty=True)
    assert again.cv_rmse == binary.cv_rmse and again.names == binary.names
    (tmp_path / "no.json").write_text("{}")
    for name in ("no.json", "missing.json"):
        with pytest.raises(InputError, match=name):
            ClusterExpansion.load(tmp_path / name)


@pytest.mark.parametrize("size", [(2, 2, 2), (3, 3, 3)])
def test_tables_give_the_same_energies(ternary, size):
    from dftopt.alloy import jax_engine, numba_engine

    cell = Supercell.of(ternary.parent, size)
    codes = np.random.default_rng(0).integers(3, size=(5, len(cell))).astype(np.int8)
    direct = ternary.correlations([(cell, c) for c in codes]) @ ternary.coefficients
    h = hamiltonian(ternary, cell)
    assert h.energy(codes) == pytest.approx(direct, abs=1e-14)
    for engine in (numba_engine, jax_engine):
        assert engine.totals(h, codes) / len(cell) == pytest.approx(direct, abs=1e-14)


def test_matching_of_relaxed_rotated_and_strained_cells(ternary):
    rng = np.random.default_rng(3)
    cell = Supercell.of(ternary.parent, (2, 2, 2))
    ideal = cell.atoms([ternary.species[c] for c in rng.integers(3, size=16)])
    energy = ternary.predict(ideal)
    relaxed = ideal.copy()
    relaxed.set_cell(ideal.cell[:] @ (np.eye(3) * 1.05 + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True)
    relaxed.positions += 0.1 * rng.normal(size=(16, 3)) + [0.7, -0.3, 5.0]
    relaxed.rotate(37, (1, 2, 3), rotate_cell=True)
    relaxed.wrap()
    assert ternary.predict(relaxed) == pytest.approx(energy, abs=1e-12)
    skewed = ideal.copy()
    skewed.set_cell(np.array([[1, 0, 0], [2, 1, 0], [0, -1, 1]]) @ ideal.cell[:])
    assert ternary.predict(skewed) == pytest.approx(energy, abs=1e-12)


def test_report_of_displacements(nbmota):
    from dftopt.alloy import match

    report = match(nbmota[0][0], Parent.of(BCC), ("Nb", "Mo")).report
    assert report["atoms"] == 16 and 0 < report["rms_displacement_A"] < report["largest_displacement_A"] < 0.1
    assert report["expansion"] == pytest.approx(6.497 / 6.6, abs=1e-3)


def wrong(name, structures, energies):
    """Arguments of a fit with one mistake."""
    keywords = {"parent": BCC, "cutoffs": (3.4,)}
    if name == "left":
        structures[3].positions[5] += [1.1, 0.9, 0.6]
    elif name == "species":
        structures[2].symbols[0] = "W"
        keywords["species"] = ("Nb", "Mo", "Ta")
    elif name == "energy":
        energies[4] = np.nan
    elif name == "count":
        energies = energies[:-1]
    elif name == "few":
        structures, energies = structures[:4], energies[:4]
    elif name == "lattice":
        structures[1] = bulk("Nb", "diamond", a=5.4)
    elif name == "density":
        structures[1] = bulk("Nb", "bcc", a=5.0)
    elif name == "molecule":
        structures[1] = Atoms("Nb2", [[0, 0, 0], [0, 0, 2]])
    elif name == "one":
        keywords["species"] = ("Nb",)
    elif name == "symbol":
        keywords["species"] = ("Nb", "Mo", "Qq")
    elif name == "method":
        keywords["method"] = "forest"
    elif name == "folds":
        keywords["folds"] = 1
    return structures, energies, keywords


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("left", "Structure 3 left the parent lattice: atom 5"),
        ("species", "Structure 2 contains W; the species of the expansion are Nb, Mo, Ta"),
        ("energy", "energy of structure 4 is nan"),
        ("count", "one energy each"),
        ("few", "4 different structures are too few for 9 coefficients; undetermined are"),
        ("lattice", "Structure 1 is not on the parent lattice"),
        ("density", "Structure 1 is not on the parent lattice"),
        ("molecule", "no cell in three directions"),
        ("one", "two to 4 different"),
        ("symbol", "no chemical symbol"),
        ("method", "ridge, lasso, ard"),
        ("folds", "at least 2"),
    ],
)
def test_bad_input(ternary, name, words):
    structures, energies = exact(ternary, 12)
    structures, energies, keywords = wrong(name, structures, energies)
    with pytest.raises(InputError) as error:
        ClusterExpansion.fit(structures, energies, **keywords)
    assert words in " ".join(str(error.value).split())


def test_too_few_are_allowed_when_wanted(ternary):
    structures, energies = exact(ternary, 6)
    with pytest.warns(DFTOptWarning, match="undetermined"):
        ce = ClusterExpansion.fit(structures, energies, parent=BCC, cutoffs=(3.4,), allow_undetermined=True)
    assert ce.undetermined
