import numpy as np
import pytest
from ase.build import bulk
from ase.units import kB

from dftopt.alloy import Parent, Supercell, free_energy, hull, monte_carlo, orderings, quasirandom, transition
from dftopt.alloy.configurations import canonical, primitive
from dftopt.errors import DFTOptWarning, InputError

BCC, FCC, HCP = (Parent.of(a) for a in (bulk("Nb", "bcc", a=3.3), bulk("Al", a=4.05), bulk("Mg", a=3.21, c=5.21)))


# icet 4.0, enumerate_structures(primitive, range(1, n + 1), species): numbers by atoms per cell
@pytest.mark.parametrize(
    ("parent", "species", "counts"),
    [
        (FCC, 2, {1: 2, 2: 2, 3: 6, 4: 19, 5: 28, 6: 80}),
        (BCC, 2, {1: 2, 2: 2, 3: 6, 4: 19, 5: 28, 6: 80}),
        (BCC, 3, {1: 3, 2: 6, 3: 21, 4: 96}),
        (HCP, 2, {2: 3, 4: 10}),
    ],
)
def test_numbers_of_distinct_orderings(parent, species, counts):
    found = orderings(parent, species, max(counts))
    sizes = [len(o.codes) for o in found]
    assert {n: sizes.count(n) for n in sorted(set(sizes))} == counts


def test_keys_tell_configurations_apart():
    found = orderings(BCC, 2, 5)
    assert len({o.key for o in found}) == len(found)
    rng = np.random.default_rng(0)
    for o in found[::7]:
        cell, parent = o.supercell, o.supercell.parent
        turned = Supercell(parent, cell.matrix @ parent.rotations[rng.integers(48)].T)
        operation = next(
            k
            for k in range(48)
            if np.array_equal(Supercell(parent, cell.matrix @ parent.rotations[k].T).hermite, turned.hermite)
        )
        codes = np.empty_like(o.codes)
        codes[turned.index(parent.moved(cell.sites)[operation])] = o.codes
        double = Supercell(parent, np.diag([2, 1, 1]) @ turned.matrix)
        assert canonical(double, codes[turned.index(double.sites)]) == o.key
        assert len(primitive(double, codes[turned.index(double.sites)])[1]) == len(o.codes)


def test_composition_can_be_limited():
    found = orderings(BCC, 2, 4, composition=[(0.5, 0.5), (0.5, 0.5)])
    assert all((o.codes == 0).mean() == 0.5 for o in found)
    assert len(found) == sum((o.codes == 0).mean() == 0.5 for o in orderings(BCC, 2, 4))
    with pytest.raises(InputError, match="too many"):
        orderings(BCC, 4, 30)


def test_quasirandom_structures_are_nearly_random():
    atoms, away = quasirandom(BCC, ("Nb", "Mo"), {"Nb": 0.5, "Mo": 0.5}, (2, 2, 2), cutoffs=(4.8,), steps=600)
    assert sorted(atoms.symbols) == ["Mo"] * 8 + ["Nb"] * 8
    assert away < 0.01  # pairs of three shells as in random mixing
    again, _ = quasirandom(BCC, ("Nb", "Mo"), {"Nb": 0.5, "Mo": 0.5}, (2, 2, 2), cutoffs=(4.8,), steps=600)
    assert np.array_equal(atoms.numbers, again.numbers)


def test_hull_of_a_binary():
    c = np.array([[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5], [0.75, 0.25], [0.25, 0.75]])
    e = np.array([-1.0, -2.0, -1.8, -1.6, -1.45, -2.0])
    found = hull(c, e)
    # formation: 0, 0, -0.3, -0.1, -0.2, -0.25; tie lines -0.15 at 1/4 on either side
    assert found.formation == pytest.approx([0, 0, -0.3, -0.1, -0.2, -0.25])
    assert found.above == pytest.approx([0, 0, 0, 0.2, 0, 0], abs=1e-12)
    assert found.height([[0.5, 0.5], [0.625, 0.375]]) == pytest.approx([-0.3, -0.25])


def test_hull_of_a_ternary():
    c = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0], [0.5, 0.25, 0.25]])
    found = hull(c, np.array([0, 0, 0, -0.3, 0.1, -0.1]))
    assert found.above == pytest.approx([0, 0, 0, 0, 0.1, 0.125], abs=1e-12)
    with pytest.raises(InputError, match="pure in species 1"):
        hull(c[[0, 2, 3]], np.zeros(3))
    assert hull(c[[0, 2, 3]], np.zeros(3), pure=np.zeros(3)).above == pytest.approx(np.zeros(3))


def test_free_energy_is_exact(ternary):
    # all 560 configurations of 8 sites
    from test_monte_carlo import tiny

    cell, levels = tiny(ternary)
    T = np.array([1500.0, 500.0])
    with pytest.warns(DFTOptWarning):
        got = free_energy(
            ternary, supercell=cell, composition={"Nb": 2, "Mo": 3, "Ta": 3}, temperatures=T, points=5, samples=400,
            equilibration=50, replicas=2, shells=1,
        )  # fmt: skip
    for i, t in enumerate(T):
        x = -(levels - levels.min()) * 8 / (kB * t)
        F = levels.min() - kB * t * np.log(np.exp(x).sum()) / 8
        E = np.exp(x) @ levels / np.exp(x).sum()
        assert abs(got.free[i] - F) < 4 * got.free_error[i] and got.free_error[i] < 1e-3
        assert abs(got.energy[i] - E) < 4 * got.energy_error[i]
        assert abs(got.entropy[i] - (E - F) / (kB * t)) < 4 * got.entropy_error[i]


@pytest.mark.slow
def test_order_disorder_transition_of_nearest_neighbours():
    # bcc AB with unlike neighbours favoured is the Ising antiferromagnet: k T_c = 6.3544 J (Butera, Comi, 2000)
    from dftopt.alloy import ClusterExpansion

    J = 0.01  # eV; the energy of a bond is J s s'
    blank = ClusterExpansion.blank(BCC, ("Nb", "Mo"), (3.0,))
    ce = ClusterExpansion(BCC, blank.species, blank.cutoffs, np.array([0, 0, 4 * J]))
    exact = 6.3544 * J / kB
    T = exact * np.linspace(0.9, 1.1, 11)
    got = monte_carlo(
        ce, (8, 8, 8), {"Nb": 0.5, "Mo": 0.5}, T, tempering=True, samples=800, sweeps=5, equilibration=1000, shells=1
    )
    found, error = transition(got)
    assert abs(found - exact) < 3 * error + 0.02 * exact  # the peak of a finite system is a little lower


def test_a_transition_needs_temperatures_around_it(ternary):
    third = {"Nb": 1 / 3, "Mo": 1 / 3, "Ta": 1 / 3}
    got = monte_carlo(ternary, (3, 3, 3), third, [3000.0, 4000.0, 5000.0, 6000.0, 7000.0], samples=10, equilibration=10)
    with pytest.raises(InputError, match="largest at an end"):
        transition(got)
    with pytest.raises(InputError, match="too few"):
        transition(monte_carlo(ternary, (3, 3, 3), third, [3000.0, 4000.0], samples=3, equilibration=10))
