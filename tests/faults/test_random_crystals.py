"""Random crystals: what must not change the energy does not, and no number that a user sees is NaN.

All crystals have one array shape (`like`), so that they share one compilation.
"""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import dftopt

SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow],
    "database": None,
    "phases": [Phase.generate],
}
entries = st.floats(-0.25, 0.25)


@st.composite
def crystals(draw):
    """Two atoms in a triclinic cell."""
    cell = 3.2 * (np.eye(3) + np.array([draw(st.lists(entries, min_size=3, max_size=3)) for _ in range(3)]))
    frac = np.array([draw(st.lists(st.floats(-1, 2), min_size=3, max_size=3)) for _ in range(2)])
    atoms = Atoms("LiH", scaled_positions=frac, cell=cell, pbc=True)
    assume(20 < atoms.get_volume() < 45 and atoms.get_distance(0, 1, mic=True) > 1.2)
    try:
        dftopt.Model(atoms, xc="none")
    except dftopt.InputError:
        assume(False)
    return atoms


def reference() -> dftopt.PlaneWaves:
    """The largest shape."""
    model = dftopt.Model(Atoms("LiH", positions=[[0, 0, 0], [1.6, 0, 0]], cell=[3.56] * 3, pbc=True), xc="none")
    return dftopt.PlaneWaves(model, ecut=4.0, kpts=(1, 1, 1), symmetry=False, room=0.4)


IDENTITY = np.eye(3)
LIKE = reference().sizes


def solve(atoms):
    """The minimum without exchange and correlation, which alone feels the grid."""
    model = dftopt.Model(atoms, xc="none")
    basis = dftopt.PlaneWaves(model, ecut=4.0, kpts=(1, 1, 1), symmetry=False, like=LIKE)
    return dftopt.minimize(model, basis, tol=1e-15, progress=False)


def check(atoms, other, turn=IDENTITY, order=(0, 1)):
    a, b = solve(atoms), solve(other)
    for r in (a, b):
        assert r.converged, r.verdict
        numbers = [
            *vars(r.energies).values(),
            r.fermi_level,
            *r.eigenvalues.ravel(),
            *r.forces().ravel(),
            *r.stress().ravel(),
        ]
        assert np.isfinite(np.array(numbers, float)).all()
        assert np.abs(r.force_sum).max() < 1e-7
    assert float(b.energies.free) == pytest.approx(float(a.energies.free), abs=1e-9)
    np.testing.assert_allclose(b.forces()[list(order)], a.forces() @ turn.T, atol=2e-6)
    np.testing.assert_allclose(b.stress(), turn @ a.stress() @ turn.T, atol=2e-8)


def rotation(vector) -> np.ndarray:
    """Of a rotation vector."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vector).as_matrix()


vectors = st.lists(st.floats(-3, 3), min_size=3, max_size=3)
EXAMPLES = [pytest.param(1, id="one"), pytest.param(40, id="many", marks=pytest.mark.slow)]


@pytest.mark.parametrize("n", EXAMPLES)
def test_translation_and_rotation(n):
    @settings(max_examples=n, **SETTINGS)
    @given(crystals(), vectors, vectors)
    def run(atoms, shift, axis):
        turn = rotation(axis)
        other = atoms.copy()
        other.positions += shift
        other.set_cell(other.cell.array @ turn.T, scale_atoms=False)
        other.positions = other.positions @ turn.T
        check(atoms, other, turn)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("n", EXAMPLES)
def test_order_of_atoms_and_images(n):
    images = st.lists(st.integers(-2, 2), min_size=3, max_size=3)

    @settings(max_examples=n, **SETTINGS)
    @given(crystals(), images)
    def run(atoms, image):
        other = atoms[[1, 0]]
        other.positions[0] += np.array(image) @ atoms.cell.array
        check(atoms, other, order=(1, 0))

    run()


@pytest.mark.slow
@pytest.mark.parametrize("n", EXAMPLES)
def test_choice_of_cell_vectors(n):
    """At Gamma the plane waves of a lattice do not depend on its vectors."""
    choices = [[[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[1, -1, 0], [0, 1, 0], [0, 0, 1]]]

    @settings(max_examples=n, **SETTINGS)
    @given(crystals(), st.sampled_from(choices))
    def run(atoms, M):
        other = Atoms(atoms.numbers, atoms.positions, cell=np.array(M) @ atoms.cell.array, pbc=True)
        check(atoms, other)

    run()
