import itertools

import numpy as np
import pytest
from ase.build import bulk

from dftopt.alloy import Parent, Supercell
from dftopt.alloy.clusters import orbits
from dftopt.alloy.design import coefficient_names, design_matrix
from dftopt.alloy.functions import point_functions
from dftopt.alloy.supercell import hermite
from dftopt.errors import InputError

BCC, FCC, HCP = bulk("Nb", "bcc", a=3.3), bulk("Al", a=4.05), bulk("Mg", a=3.21, c=5.21)


@pytest.mark.parametrize(
    ("atoms", "cutoffs", "pairs", "triplets"),
    [
        (BCC, (6.0, 4.7), [4, 3, 6, 12, 4], {"1-1-2": 12, "1-1-3": 12, "2-2-3": 12, "3-3-3": 8}),
        (FCC, (6.0, 4.5), [6, 3, 12, 6], {"1-1-1": 8, "1-1-2": 12}),
        (HCP, (5.5, 4.0), [3, 3, 3, 1], {"1-1-2": 6, "2-2-2a": 1, "2-2-2b": 1}),
    ],
)
def test_multiplicities_per_site(atoms, cutoffs, pairs, triplets):
    found = orbits(Parent.of(atoms), cutoffs)
    sites = len(Parent.of(atoms).basis)
    assert [len(o.instances) / sites for o in found if o.order == 2] == pairs
    assert {o.name.split()[1]: len(o.instances) / sites for o in found if o.order == 3} == triplets


@pytest.mark.parametrize("atoms", [BCC, FCC, HCP])
def test_orbits_hold_every_cluster_once(atoms):
    # all triplets within a cutoff around each site of the cell, counted by brute force
    parent, cutoff = Parent.of(atoms), 4.7
    count = 0
    for b in range(len(parent.basis)):
        span = np.array(list(itertools.product(range(len(parent.basis)), *[range(-3, 4)] * 3)))
        points, own = parent.position(span), parent.position(np.array([b, 0, 0, 0]))
        near = points[(np.linalg.norm(points - own, axis=1) < cutoff) & (np.linalg.norm(points - own, axis=1) > 0.1)]
        apart = np.linalg.norm(near[:, None] - near[None], axis=-1)
        count += np.sum(np.triu((apart < cutoff) & (apart > 0.1)))
    assert sum(len(o.instances) for o in orbits(parent, (cutoff, cutoff)) if o.order == 3) == count / 3


def test_conventional_cells_have_the_usual_edges():
    for atoms, edges in ((BCC, [3.3] * 3), (FCC, [4.05] * 3), (HCP, [3.21, 3.21, 5.21])):
        parent = Parent.of(atoms)
        assert np.linalg.norm(parent.conventional @ parent.cell, axis=1) == pytest.approx(edges, abs=1e-9)
    assert len(Supercell.of(Parent.of(BCC), (8, 8, 8))) == 1024


def test_parent_does_not_depend_on_its_description():
    one, other = (orbits(Parent.of(a), (6.0, 4.7)) for a in (BCC, bulk("W", "bcc", a=3.3, cubic=True).repeat(2)))
    assert [(o.name, len(o.instances)) for o in one] == [(o.name, len(o.instances)) for o in other]


def test_hermite_form_names_a_lattice():
    rng = np.random.default_rng(0)
    for _ in range(50):
        m = rng.integers(-3, 4, (3, 3))
        if round(np.linalg.det(m)):
            u = np.array([[1, 2, 0], [0, 1, 0], [1, 2, 1]])
            assert np.array_equal(hermite(m), hermite(u @ m))
            assert np.prod(np.diag(hermite(m))) == abs(round(np.linalg.det(m)))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_point_functions_are_orthonormal(count):
    phi = np.vstack([np.ones(count), point_functions(count)])
    assert phi @ phi.T / count == pytest.approx(np.eye(count), abs=1e-14)


@pytest.mark.parametrize("atoms", [BCC, HCP])
def test_correlations_are_complete(atoms):
    # any energy of pairs and triplets by species is reproduced: for each decoration one function
    parent = Parent.of(atoms)
    found = orbits(parent, (3.4, 3.4))
    for orbit in found:
        phi = np.vstack([np.ones(3), point_functions(3)])
        classes = orbit.decorations(3)  # as if by species
        columns = [
            [
                np.mean([np.prod([phi[f, s] for f, s in zip(given, x, strict=True)]) for given in alike])
                for alike in classes
            ]
            for x in itertools.product(range(3), repeat=orbit.order)
        ]
        assert np.linalg.matrix_rank(np.array(columns)) == len(classes)


def test_correlations_of_ordered_structures():
    # B2: unlike in shells 1 and 4, alike in 2, 3, 5; correlations of pairs are -1 and +1
    parent = Parent.of(BCC)
    cell = Supercell(parent, parent.conventional)
    X = design_matrix([(cell, np.array([0, 1], np.int8)), (cell, np.array([1, 1], np.int8))], orbits(parent, (6.0,)), 2)
    assert X[0] == pytest.approx([1, 0, -1, 1, 1, -1, 1])
    assert X[1] == pytest.approx([1] * 7)


def test_correlations_do_not_depend_on_cell_or_symmetry(ternary):
    rng = np.random.default_rng(1)
    cell = Supercell.of(ternary.parent, (2, 2, 2))
    codes = rng.integers(3, size=len(cell)).astype(np.int8)
    double = Supercell(ternary.parent, np.diag([1, 1, 2]) @ cell.matrix)
    images = ternary.parent.moved(cell.sites)[5]
    moved = np.empty_like(codes)
    moved[cell.index(images)] = codes
    same = [(cell, codes), (cell, moved), (double, codes[cell.index(double.sites)])]
    X = ternary.correlations(same)
    assert X[1:] == pytest.approx(np.tile(X[0], (2, 1)), abs=1e-14)


def test_names_count_functions():
    assert coefficient_names(orbits(Parent.of(BCC), (3.0,)), 2) == (
        "constant", "point (1)", "point (2)", "pair 1 (1,1)", "pair 1 (1,2)", "pair 1 (2,2)",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cutoffs", "words"),
    [
        ((), "0 numbers"),
        ((3.0, 4.0), "must not grow"),
        ((-1.0,), "must be positive"),
        ((2.0,), "no pairs"),
        ((6.0, 2.9), "no triplets"),
        ((99.0,), "beyond 5"),
        ("x", "one number for each"),
    ],
)
def test_wrong_cutoffs(cutoffs, words):
    with pytest.raises(InputError, match=words):
        orbits(Parent.of(BCC), cutoffs)


def test_wrong_parents():
    with pytest.raises(InputError, match="2 kinds of sites|3 kinds of sites"):
        Parent.of(_uneven())
    with pytest.raises(InputError, match="ASE Atoms"):
        Parent.of("bcc")
    with pytest.raises(InputError, match="three whole positive"):
        Supercell.of(Parent.of(BCC), (2, 2))


def _uneven():
    atoms = bulk("Nb", "bcc", a=3.3, cubic=True)
    return atoms + type(atoms)("Nb", [[1.65, 0, 0]], cell=atoms.cell)
