"""Calculations of many structures: interrupted, continued, in any order, always the same numbers."""

import numpy as np
import pytest
from ase.build import bulk

from dftopt.calculator import checkpoints
from dftopt.calculator.journal import Journal
from dftopt.calculator.series import Failed, Series, Stopped
from dftopt.calculator.setup import build
from dftopt.errors import InputError

KEYWORDS = {"xc": "LDA", "ecut": 120.0, "kpts": (2, 1, 1), "occupations": {"name": "fixed"}, "tol": 1e-11}


def rattled(seed: int, a: float = 5.43):
    atoms = bulk("Si", a=a)
    atoms.rattle(0.05, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def alone():
    """Each structure in a series of its own."""
    return [Series(KEYWORDS)(rattled(seed)) for seed in range(3)]


def test_the_order_of_structures_does_not_matter(alone):
    series = Series(KEYWORDS)
    for seed in (2, 0, 1):
        found = series(rattled(seed))
        assert found["energy"] == pytest.approx(alone[seed]["energy"], abs=1e-8)
        np.testing.assert_allclose(found["forces"], alone[seed]["forces"], atol=2e-5)
        np.testing.assert_allclose(found["stress"], alone[seed]["stress"], atol=5e-7)


def test_a_smaller_cell_has_its_own_grid_and_compiles_nothing(alone):
    """The arrays of the first are used, the numbers are those of the structure alone."""
    single = Series(KEYWORDS)(rattled(5, a=5.4))
    series = Series(KEYWORDS)
    series(rattled(0))
    found = series(rattled(5, a=5.4))
    assert found["energy"] == pytest.approx(single["energy"], abs=1e-8)
    assert found["compile_seconds"] < 0.2 * max(single["compile_seconds"], 5.0)


def test_stopped_and_continued(alone, tmp_path):
    path, state = tmp_path / "work.journal", tmp_path / "work.h5"
    journal = Journal(path, KEYWORDS)
    with pytest.raises(Stopped):
        series = Series(KEYWORDS, journal, stop=lambda: len(journal) == 1, state=state)
        for seed in range(3):
            series(rattled(seed))
    assert len(journal) == 1
    calls = []
    again = Series(KEYWORDS, Journal(path, KEYWORDS), stop=lambda: calls.append(1) is not None, state=state)
    assert again(rattled(0))["energy"] == pytest.approx(alone[0]["energy"], abs=1e-8)
    assert not calls  # nothing was computed
    for seed in (1, 2):
        assert again(rattled(seed))["energy"] == pytest.approx(alone[seed]["energy"], abs=1e-8)


def test_a_structure_at_work_goes_on_from_its_orbitals(alone, tmp_path):
    state, asked = tmp_path / "work.h5", []

    def after_one_block() -> bool:
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(Stopped, match="saved"):
        Series(KEYWORDS, stop=after_one_block, state=state)(rattled(0))
    assert state.exists()
    found = Series(KEYWORDS, state=state)(rattled(0))
    assert found["energy"] == pytest.approx(alone[0]["energy"], abs=1e-8)
    assert not state.exists()


def test_what_does_not_converge_is_said():
    with pytest.raises(Failed, match="not converged: 3 evaluations"):
        Series({**KEYWORDS, "maxiter": 3})(rattled(0))


def test_wrong_keywords_are_refused_before_anything_starts():
    with pytest.raises(InputError, match="ecut"):
        Series({**KEYWORDS, "ecut": -1.0})(rattled(0))


def test_saving_pauses_change_nothing(alone, tmp_path):
    """Paused after every block: the same energy, and a record that spans the pauses."""
    setup = build(rattled(0), KEYWORDS)
    steps = []
    path = tmp_path / "state.h5"
    result = checkpoints.minimize(setup, path, progress=lambda s: steps.append(s.iterations) is not None, every=0.0)
    assert result.converged and path.exists()
    assert result.energies.zero * 27.211386024367243 == pytest.approx(alone[0]["energy"], abs=1e-8)
    assert len(result.history) >= result.stats["iterations"]
    assert steps == sorted(steps) and len(steps) > 1
    assert result.options.maxiter == setup.minimize_options["maxiter"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ecut": 125.0}, "ecut"), ({"xc": "PBE"}, "xc"), ({"kpts": (1, 2, 1)}, "k points"), ({"symmetry": False}, "symmetry"),
        ({"occupations": {"name": "gaussian", "width": 0.1}}, "width"), ({"seed": 3, "tol": 1e-7, "maxiter": 9}, ""),
        ({"fft": (20, 20, 20)}, "fft"),
    ],
)  # fmt: skip
def test_a_state_of_another_calculation_is_recognized(change, named):
    saved = _unfinished()
    found = checkpoints.difference(saved, build(rattled(0), {**KEYWORDS, **change}))
    assert (named in found) if named else found == ""


@pytest.mark.parametrize(
    ("atoms", "named"), [(rattled(1), "angstrom away"), (rattled(0, a=5.5), "cell"), (bulk("Ge"), "atoms")]
)
def test_a_state_of_another_structure_is_recognized(atoms, named):
    assert named in checkpoints.difference(_unfinished(), build(atoms, KEYWORDS))


_KEPT = {}


def _unfinished():
    if "result" not in _KEPT:
        setup = build(rattled(0), {**KEYWORDS, "maxiter": 2})
        _KEPT["result"] = checkpoints.minimize(setup, "unused.h5")
    return _KEPT["result"]
