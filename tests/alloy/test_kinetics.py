from itertools import combinations

import numpy as np
import pytest
from ase.build import bulk
from ase.units import kB
from scipy import stats

from dftopt.alloy import ClusterExpansion, Parent, Supercell, monte_carlo, vacancy_kmc
from dftopt.alloy.hamiltonian import hamiltonian
from dftopt.alloy.kinetics import rates
from dftopt.alloy.order_parameters import bond_counts, sro, warren_cowley
from dftopt.errors import InputError

BARRIERS = {"Nb": 0.6, "Mo": 0.7, "Ta": 0.01}  # so low that the barrier of many jumps of Ta is max(dE, 0)
THIRD = {"Nb": 1 / 3, "Mo": 1 / 3, "Ta": 1 / 3}


@pytest.mark.parametrize("engine", ["numba", "jax"])
def test_detailed_balance_of_every_pair(ternary, engine):
    size, T = (3, 3, 3), 700.0
    cell = Supercell.of(ternary.parent, size)
    state = np.random.default_rng(0).integers(3, size=len(cell)).astype(np.int8)
    state[[5, 30]] = 3
    h = hamiltonian(ternary, cell, True)
    keywords = {"temperature": T, "barriers": BARRIERS, "engine": engine}
    empty, site, forth, change = rates(ternary, size, state, **keywords)
    worst = low = 0
    for k, v in enumerate(empty):
        for m, j in enumerate(site[k]):
            if state[j] == 3:
                assert forth[k, m] == 0
                continue
            after = state.copy()
            after[v], after[j] = state[j], 3
            other, back_site, back, _ = rates(ternary, size, after, **keywords)
            row = list(other).index(j)
            ratio = np.log(forth[k, m] / back[row, list(back_site[row]).index(v)])
            dE = (h.energy(after) - h.energy(state)) * len(cell)
            worst = max(worst, abs(ratio + dE / (kB * T)), abs(dE - change[k, m]))
            low += BARRIERS[ternary.species[state[j]]] < abs(dE) / 2
    assert worst < 1e-12 and low > 0


@pytest.mark.parametrize(("engine", "replicas", "samples"), [("numba", 10, 300), ("jax", 10, 40)])
def test_kinetics_and_monte_carlo_agree(ternary, engine, replicas, samples):
    size, T, even = (3, 3, 3), 1200.0, {"Nb": 0.5, "Mo": 0.6, "Ta": 0.4}  # no species so slow that it never moves
    kinetics = vacancy_kmc(
        ternary,
        size,
        THIRD,
        T,
        even,
        replicas=replicas,
        samples=samples,
        jumps=100,
        equilibration=6000,
        engine=engine,
    )
    equilibrium = monte_carlo(ternary, size, THIRD, T, vacancies=1, replicas=replicas, samples=300)

    def independent(got):
        """Mean of each run: three first-shell parameters, one of the second, the energy."""
        values = np.column_stack([got.sro[:, 0, [0, 0, 1], [1, 2, 2]], got.sro[:, 1, 0, 1], 10 * got.energy])
        return np.stack([values[got.replica == r].mean(0) for r in range(replicas)])

    a, b = independent(kinetics), independent(equilibrium)
    away = a.mean(0) - b.mean(0)
    spread = (np.cov(a.T) + np.cov(b.T)) / replicas
    assert np.all(abs(away) < 4 * np.sqrt(np.diag(spread)))
    d, dof = len(away), 2 * replicas - 2  # Hotelling: the covariance is measured as well
    t2 = away @ np.linalg.solve(spread, away)
    assert stats.f.sf(t2 * (dof - d + 1) / (dof * d), d, dof - d + 1) > 0.01


def test_kinetics_sample_the_exact_ensemble():
    # all configurations of 2 Nb, 3 Mo, 10 Ta and a vacancy on 16 sites; the second barriers are mostly max(dE, 0)
    blank = ClusterExpansion.blank(Parent.of(bulk("Nb", "bcc", a=3.3)), ("Nb", "Mo", "Ta"), (3.0,))
    ce = ClusterExpansion(
        blank.parent, blank.species, blank.cutoffs, 0.06 * np.random.default_rng(1).normal(size=len(blank.names))
    )
    cell, codes = Supercell.of(ce.parent, (2, 2, 2)), []
    for first in combinations(range(1, 16), 2):
        for second in combinations(sorted(set(range(1, 16)) - set(first)), 3):
            row = np.full(16, 2, np.int8)
            row[0], row[list(first)], row[list(second)] = 3, 0, 1
            codes.append(row)
    energy = hamiltonian(ce, cell, True).energy(np.array(codes))
    weight = np.exp(-(energy - energy.min()) * 16 / (kB * 900))
    weight /= weight.sum()
    exact = np.r_[weight @ sro(cell, np.array(codes), 1, 3)[:, 0, [0, 0, 1], [1, 2, 2]], weight @ energy]
    for barriers in ({"Nb": 0.5, "Mo": 0.6, "Ta": 0.4}, {"Nb": 0.1, "Mo": 0.02, "Ta": 0.05}):
        got = vacancy_kmc(
            ce, (2, 2, 2), {"Nb": 2, "Mo": 3, "Ta": 10}, 900.0, barriers, replicas=12, samples=500, jumps=40,
            equilibration=2000, shells=1,
        )  # fmt: skip
        values = np.column_stack([got.sro[:, 0, [0, 0, 1], [1, 2, 2]], got.energy])
        means = np.stack([values[got.replica == r].mean(0) for r in range(12)])
        assert np.all(abs(means.mean(0) - exact) < 4 * means.std(0, ddof=1) / np.sqrt(12))


def test_sum_rules_on_configurations_of_kinetics(ternary):
    got = vacancy_kmc(ternary, (3, 3, 3), THIRD, 900.0, BARRIERS, samples=20, jumps=10, equilibration=100, vacancies=3)
    counts = bond_counts(got.supercell, got.species, 2, 3)
    alpha, c = warren_cowley(counts), counts.sum(-1) / counts.sum((-1, -2))[..., None]
    assert abs(np.einsum("...j,...ij->...i", c, alpha)).max() < 1e-12
    assert abs(alpha - np.swapaxes(alpha, -1, -2)).max() < 1e-12
    assert np.array_equal(alpha, got.sro[:, :2])
    assert np.all((got.species == 3).sum(1) == 3)
    assert got.energy == pytest.approx(hamiltonian(ternary, got.supercell, True).energy(got.species), abs=1e-12)


def free(atoms):
    """Equal atoms without interaction: the vacancy walks at random."""
    return ClusterExpansion.blank(Parent.of(atoms), ("Al", "Li"), (3.4,))


@pytest.mark.parametrize(("atoms", "factor"), [(bulk("Nb", "bcc", a=3.3), 0.7272), (bulk("Al"), 0.7815)])
def test_correlation_factor_of_a_random_walk(atoms, factor):
    got = vacancy_kmc(
        free(atoms), (4, 4, 4), {"Al": 0.5, "Li": 0.5}, 1000.0, {"Al": 0.5, "Li": 0.5}, samples=16, jumps=12500,
        equilibration=5000, replicas=2, windows=16,
    )  # fmt: skip
    value, error = got.correlation_factors()
    both = got.squared.sum() / got.jumped.sum() / got.hop**2
    assert both == pytest.approx(factor, abs=0.035)
    assert value == pytest.approx([both] * 2, abs=5 * error.max())
    # atoms jump z nu exp(-E/kT) / n times a second each, and D = f (jumps) a^2 / 6
    z = 8 if factor < 0.75 else 12
    rate = z * 1e13 * np.exp(-0.5 / (kB * 1000)) / (got.atoms.sum())
    expected = both * rate * got.hop**2 / 6 * 1e-20
    assert np.mean(got.tracer_diffusion()[0]) == pytest.approx(expected, rel=0.05)


def test_displacements_belong_to_the_species_that_jumped(ternary):
    slow = {"Nb": 0.5, "Mo": 5.0, "Ta": 0.5}
    got = vacancy_kmc(ternary, (3, 3, 3), THIRD, 900.0, slow, samples=4, jumps=100, equilibration=500)
    moved, counted = got.squared.sum((0, 1)), got.jumped.sum((0, 1))
    assert moved[1] == counted[1] == 0 and moved[0] > 0 and moved[2] > 0
    assert counted.sum() == got.jumps.sum()


def test_time_of_the_equilibrium_concentration(ternary):
    keywords = {"samples": 3, "jumps": 10, "equilibration": 50, "seed": 4}
    short = vacancy_kmc(ternary, (3, 3, 3), THIRD, 900.0, BARRIERS, **keywords)
    long = vacancy_kmc(ternary, (3, 3, 3), THIRD, 900.0, BARRIERS, vacancy_formation=2.0, **keywords)
    assert long.time_scale == pytest.approx(np.exp(2.0 / (kB * 900)) / 54)
    assert long.time == pytest.approx(short.time * long.time_scale)
    assert np.array_equal(long.species, short.species)
    assert long.tracer_diffusion()[0] == pytest.approx(short.tracer_diffusion()[0] / long.time_scale)


def test_times_from_the_start(ternary):
    start = np.repeat([0, 1, 2, 3], [18, 18, 17, 1])
    got = vacancy_kmc(ternary, (3, 3, 3), None, 900.0, BARRIERS, times=[0.0, 1e-10, 1e-9], start=start)
    assert np.array_equal(got.species[0], start) and got.time.tolist() == [0.0, 1e-10, 1e-9]


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"size": (2, 2, 2)}, "smaller than the interaction: sites of shell 2 coincide"),
        ({"temperature": -5.0}, "must be positive"),
        ({"temperature": [300.0, 400.0]}, "one temperature"),
        ({"barriers": {**BARRIERS, "Mo": -0.1}}, "The barrier of Mo is -0.1"),
        ({"barriers": {"Mo": 0.1}}, "barriers lack Nb, Ta"),
        ({"barriers": {**BARRIERS, "W": 0.1}}, "'W' is not one of the species"),
        ({"barriers": None}, "must give E_KRA"),
        ({"vacancies": 0}, "vacancies = 0"),
        ({"prefactor": 0.0}, "prefactor = 0.0"),
        ({"vacancy_formation": -1.0}, "positive energy"),
        ({"vacancy_energies": {"W": 0.1}}, "'W' is not one of the species"),
        ({"vacancy_energies": {"Nb": [0.1] * 9}}, "at most 2 finite"),
        ({"times": [1e-9, 1e-10]}, "must increase"),
        ({"composition": {"W": 1.0}}, "'W' is not one of the species"),
    ],
)
def test_bad_input(ternary, keywords, words):
    given = {"size": (3, 3, 3), "composition": THIRD, "temperature": 900.0, "barriers": BARRIERS, **keywords}
    with pytest.raises(InputError) as error:
        vacancy_kmc(ternary, **given)
    assert words in " ".join(str(error.value).split())
