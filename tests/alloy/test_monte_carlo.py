import itertools

import numpy as np
import pytest
from ase.build import bulk
from ase.units import kB

from dftopt.alloy import Parent, Supercell, monte_carlo
from dftopt.alloy.aliasing import aliased_shells
from dftopt.alloy.hamiltonian import hamiltonian
from dftopt.alloy.order_parameters import bond_counts, sro, warren_cowley
from dftopt.errors import DFTOptWarning, InputError

THIRD = {"Nb": 1 / 3, "Mo": 1 / 3, "Ta": 1 / 3}


def tiny(ternary):
    """All configurations of 2 Nb, 3 Mo and 3 Ta on 8 sites, and their energies in eV per site."""
    cell = Supercell.of(ternary.parent, (2, 2, 1))
    rows = sorted(set(itertools.permutations([0] * 2 + [1] * 3 + [2] * 3)))
    return cell, hamiltonian(ternary, cell).energy(np.array(rows, np.int8))


@pytest.mark.parametrize("engine", ["numba", "jax"])
def test_canonical_sampling_is_exact(ternary, engine):
    cell, levels = tiny(ternary)
    T = 700.0
    weight = np.exp(-(levels - levels.min()) * len(cell) / (kB * T))
    weight /= weight.sum()
    with pytest.warns(DFTOptWarning, match="smaller than the interaction"):
        got = monte_carlo(
            ternary, supercell=cell, composition={"Nb": 2, "Mo": 3, "Ta": 3}, temperature=T, replicas=16, samples=400,
            equilibration=100, engine=engine,
        )  # fmt: skip
    means = np.array([got.energy[got.replica == r].mean() for r in range(16)])
    error = means.std(ddof=1) / 4
    assert abs(means.mean() - weight @ levels) < 4 * error and error < 0.02 * levels.std()
    variance = weight @ (levels - weight @ levels) ** 2
    assert got.energy.var() == pytest.approx(variance, rel=0.1)
    assert got.heat_capacity()[1][0] == pytest.approx(variance * 8 / (kB * T) ** 2, rel=0.1)


@pytest.mark.parametrize("engine", ["numba", "jax"])
def test_semi_grand_sampling_is_exact(ternary, engine):
    cell = Supercell.of(ternary.parent, (2, 1, 1))
    codes = np.array(list(itertools.product(range(3), repeat=4)), np.int8)
    mu = {"Mo": 0.03, "Ta": -0.05}
    grand = hamiltonian(ternary, cell).energy(codes) * 4 - np.array([0, 0.03, -0.05])[codes].sum(1)
    weight = np.exp(-(grand - grand.min()) / (kB * 900))
    exact = np.array([(codes == k).mean(1) @ weight for k in range(3)]) / weight.sum()
    with pytest.warns(DFTOptWarning, match="shell 2 is the site itself"):
        got = monte_carlo(
            ternary, supercell=cell, temperature=900.0, ensemble="semi-grand", chemical_potentials=mu, replicas=16,
            samples=400, equilibration=50, engine=engine,
        )  # fmt: skip
    means = np.stack([got.composition()[got.replica == r].mean(0) for r in range(16)])
    error = means.std(0, ddof=1) / 4
    assert np.all(abs(means.mean(0) - exact) < 4 * error) and error.max() < 0.01


def test_tempering_samples_each_temperature(ternary):
    cell, levels = tiny(ternary)
    T = np.array([400.0, 700.0, 1500.0])
    with pytest.warns(DFTOptWarning):
        got = monte_carlo(
            ternary, supercell=cell, composition={"Nb": 2, "Mo": 3, "Ta": 3}, temperature=T, replicas=8, samples=500,
            equilibration=100, tempering=True,
        )  # fmt: skip
    assert got.exchanged.min() > 0.1
    temperatures, mean, error = got.mean(got.energy)
    weight = np.exp(-(levels - levels.min()) * 8 / (kB * T[:, None]))
    assert np.array_equal(temperatures, T)
    assert np.all(abs(mean - weight @ levels / weight.sum(1)) < 4 * error)


def test_order_parameters_of_ordered_structures():
    parent = Parent.of(bulk("Nb", "bcc", a=3.3))
    cell = Supercell.of(parent, (4, 4, 4))
    half = np.rint(parent.position(cell.sites) / 1.65).astype(int)
    b2 = half[:, 0] % 2
    alpha = sro(cell, b2, 3, 2)[0]
    assert alpha[:, 0, 1] == pytest.approx([-1, 1, 1]) and alpha[:, 0, 0] == pytest.approx([1, -1, -1])


def test_sum_rules_are_exact_with_vacancies():
    cell = Supercell.of(Parent.of(bulk("Nb", "bcc", a=3.3)), (4, 4, 4))
    codes = np.random.default_rng(0).integers(4, size=(20, len(cell)))  # a quarter vacant
    counts = bond_counts(cell, codes, 3, 3)
    alpha, c = warren_cowley(counts), counts.sum(-1) / counts.sum((-1, -2))[..., None]
    assert abs(np.einsum("...j,...ij->...i", c, alpha)).max() < 1e-12
    assert abs(alpha - np.swapaxes(alpha, -1, -2)).max() < 1e-12
    assert counts.sum((-1, -2)).max() < 8 * len(cell)


def test_energy_changes_add_up(binary):
    got = monte_carlo(binary, (4, 4, 4), {"Nb": 0.5, "Mo": 0.5}, 800.0, samples=20, sweeps=20)
    h = hamiltonian(binary, got.supercell)
    assert got.energy == pytest.approx(h.energy(got.species), abs=1e-13)
    assert np.all(got.composition() == 0.5)
    assert got.sro[-10:, 0, 0, 1].mean() < -0.1  # unlike neighbours attract


def test_the_same_seed_gives_the_same(ternary):
    runs = [
        monte_carlo(ternary, (4, 4, 4), THIRD, 500.0, seed=s, samples=3, equilibration=5).species for s in (1, 1, 2)
    ]
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


def test_aliased_shells_are_named():
    parent = Parent.of(bulk("Nb", "bcc", a=3.3))
    assert aliased_shells(parent, Supercell.of(parent, (2, 2, 2)), 5) == [
        "sites of shell 2 coincide", "sites of shell 3 coincide", "sites of shell 4 coincide", "shell 4 is shell 1",
        "sites of shell 5 coincide",
    ]  # fmt: skip
    assert aliased_shells(parent, Supercell.of(parent, (4, 4, 4)), 3) == []


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"temperature": 0.0}, "must be positive"),
        ({"temperature": [300.0, -1.0]}, "must be positive"),
        ({"temperature": "hot"}, "must be a number"),
        ({"composition": {"Nb": 0.5, "W": 0.5}}, "'W' is not one of the species"),
        ({"composition": {"Nb": 0.5, "Mo": 0.2}}, "adds up to 0.7"),
        ({"composition": {"Nb": 1.5, "Mo": -0.5}}, "must be a fraction"),
        ({"composition": None}, "must give a fraction"),
        ({"composition": {"Nb": 1.0}}, "one species only"),
        ({"ensemble": "grand"}, "canonical, semi-grand"),
        ({"samples": 0}, "samples = 0"),
        ({"engine": "fortran"}, "auto, numba, jax"),
        ({"size": (4, 4)}, "three whole positive"),
        ({"start": np.zeros(3, int)}, "start must be codes"),
        ({"ensemble": "semi-grand", "chemical_potentials": {"Nb": 0.1}}, "takes chemical_potentials"),
        ({"ensemble": "semi-grand", "composition": None}, "must give eV"),
    ],
)
def test_bad_input(ternary, keywords, words):
    with pytest.raises(InputError) as error:
        monte_carlo(ternary, **{"size": (4, 4, 4), "composition": THIRD, "temperature": 500.0, **keywords})
    assert words in " ".join(str(error.value).split())
