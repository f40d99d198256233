import warnings

import jax
import jaxopt
import numpy as np
import optax
import pytest
from systems import METAL, aluminium, aluminium_result, silicon, silicon_result

import dftopt
from dftopt.errors import InputError, NotConverged
from dftopt.minimization import descent
from dftopt.minimization.clock import Clock
from dftopt.minimization.smearing import FermiDirac

DIAGONAL = 1e-6  # hartree, largest (f_i - f_j) H_ij
SYSTEMS = {"silicon": silicon, "aluminium": aluminium}


@pytest.mark.parametrize(
    "parametrization", [pytest.param("capped-simplex", marks=pytest.mark.slow), "row-norm", "auxiliary"]
)
@pytest.mark.parametrize("name", ["aluminium", pytest.param("silicon", marks=pytest.mark.slow)])
def test_self_diagonalization_from_random_orbitals(name, parametrization):
    # nothing diagonalizes the Hamiltonian: the minimum does
    model, basis = SYSTEMS[name](symmetry=False)
    first = dftopt.minimize(
        model, basis, parametrization=parametrization, start="random", maxiter=1, progress=False, **METAL
    )
    assert not first.converged and first.diagonality > 1e3 * DIAGONAL
    tight = METAL | {"tol": 1e-15}  # occupations are first order in the distance to the minimum
    r = dftopt.minimize(
        model, basis, parametrization=parametrization, start="random", maxiter=3000, progress=False, **tight
    )
    assert r.converged, r.verdict
    assert r.diagonality <= DIAGONAL
    from dftopt.energy.prepared import prepare
    from dftopt.minimization.problem import Problem
    from dftopt.minimization.unconstrained import evaluate

    at = evaluate(Problem(parametrization, FermiDirac()), r.point, (prepare(model, basis), 0.01)).info
    eps = np.real(np.diagonal(np.asarray(at["h"]), axis1=-2, axis2=-1))
    np.testing.assert_allclose(at["f"], FermiDirac().occupation((eps - r.fermi_level) / 0.01), atol=1e-6)
    reference = dftopt.minimize(model, basis, progress=False, **METAL)
    assert r.energies.free == pytest.approx(reference.energies.free, abs=1e-8)


@pytest.mark.parametrize(
    "minimizer", ["lbfgs", "gradient-descent", optax.lbfgs(), jaxopt.LBFGS(fun=lambda x: 0.0)], ids=lambda m: str(m)[:8]
)
def test_minimizers_reach_the_same_minimum(minimizer):
    options = METAL | {"tol": 1e-10}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        r = dftopt.minimize(*aluminium(), minimizer=minimizer, progress=False, **options)
    assert r.converged
    assert r.energies.free == pytest.approx(aluminium_result().energies.free, abs=1e-8)


def test_adam_descends():
    r = dftopt.minimize(*silicon(), minimizer="adam", tol=1e-5, maxiter=200, progress=False)
    assert r.energies.free == pytest.approx(silicon_result().energies.free, abs=2e-4)
    assert r.energies.free > silicon_result().energies.free


@pytest.mark.parametrize("name", ["gaussian", "methfessel-paxton", "marzari-vanderbilt"])
def test_smearings_agree_towards_zero_temperature(name):
    model, basis = aluminium()
    r = dftopt.minimize(model, basis, smearing=name, progress=False, **METAL)
    assert r.converged
    n = 2 * np.einsum("k,skb->", r.weights, r.occupations)
    assert n == pytest.approx(3, abs=1e-9)
    e = r.energies
    assert e.free == pytest.approx(e.total + e.entropy, abs=1e-14)
    # dA/dT = -S at the minimum: A(T) against its derivative from the entropy
    h = 2e-5
    a = [
        dftopt.minimize(model, basis, temperature=0.01 + d, nbands=8, smearing=name, tol=1e-13, progress=False).energies
        for d in (-h, h)
    ]
    assert (a[1].free - a[0].free) / (2 * h) == pytest.approx(e.entropy / 0.01, rel=2e-4)


def test_result_is_reproducible_and_history_descends():
    r, again = silicon_result(), dftopt.minimize(*silicon(), tol=1e-12, progress=False)
    assert again.energies.free == r.energies.free
    assert np.all(np.diff(r.history) <= 1e-12)
    assert len(r.history) == r.stats.iterations + 1
    other = dftopt.minimize(*silicon(), tol=1e-12, seed=5, progress=False)
    assert other.energies.free == pytest.approx(r.energies.free, abs=1e-10)


def test_continues_from_a_result_without_compiling():
    steps = []
    clock = Clock()
    r = dftopt.minimize(*silicon(), tol=1e-12, start=silicon_result(), progress=steps.append)
    assert r.stats.iterations <= 1 and r.converged
    assert clock.read()["compilations"] <= 4
    assert steps[-1].evaluations <= 2


def test_unconverged_runs_say_so_and_refuse_forces():
    r = dftopt.minimize(*silicon(), tol=1e-12, maxiter=2, progress=False)
    assert not r.converged and "maxiter" in r.verdict
    with pytest.raises(NotConverged, match="start=result"):
        r.forces()
    with pytest.raises(NotConverged):
        dftopt.bands(r)
    assert r.forces(allow_unconverged=True).shape == (2, 3)


def test_insulator_gap_and_levels():
    r = silicon_result()
    assert r.eigenvalues.shape == r.occupations.shape == (1, 3, 6)
    assert 0 < r.gap.indirect <= r.gap.direct and float(r.gap) == r.gap.indirect
    assert r.gap.k_valence == (0, 0, 0)
    top, bottom = r.eigenvalues[..., 3].max(), r.eigenvalues[..., 4].min()
    assert top < r.fermi_level < bottom
    assert np.all(np.diff(r.eigenvalues, axis=-1) > -1e-9)
    assert r.stats.residual < 1e-5 and r.stats["ffts"] > 0
    assert "converged" in repr(r) and r.magnetization == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 0.01, "smearing": "fermi"}, "fermi-dirac"),
        ({"nbands": 3}, "at least 4"),
        ({"nbands": 4.5}, "whole"),
        ({"tol": 0}, "tol"),
        ({"maxiter": 0}, "maxiter"),
        ({"minimizer": "newton"}, "cg"),
        ({"minimizer": object()}, "neither"),
        ({"parametrization": "auxilary"}, "auxiliary"),
        ({"parametrization": "row-norm"}, "temperature"),
        ({"temperature": 0.01, "parametrization": "fixed"}, "temperature = 0"),
        ({"temperature": 0.01, "parametrization": "row-norm"}, "equal k-point weights"),
        ({"temperature": 0.01, "parametrization": "capped-simplex", "smearing": "marzari-vanderbilt"}, "auxiliary"),
        ({"temperature": 0.01, "parametrization": "row-norm", "smearing": "gaussian"}, "Fermi-Dirac"),
        ({"magnetization": 1}, "spin"),
        ({"start": "superposition"}, "atomic"),
        ({"orthonormalization": "gram"}, "cholesky"),
        ({"nbands": 1000}, "plane waves"),
    ],
)
def test_wrong_options_name_the_remedy(options, words):
    with pytest.raises(InputError, match=words):
        dftopt.minimize(*silicon(), progress=False, **options)


def test_odd_electrons_need_a_temperature():
    with pytest.raises(InputError, match="odd number"):
        dftopt.minimize(*aluminium(), progress=False)


def test_start_of_another_shape_is_refused():
    with pytest.raises(InputError, match="parametrized"):
        dftopt.minimize(*aluminium(), start=silicon_result(), progress=False, **METAL)
    with pytest.raises(InputError, match="parametrized"):
        dftopt.minimize(*silicon(), start=silicon_result(), progress=False, **METAL)


def test_basis_of_another_model_is_refused():
    with pytest.raises(InputError, match="another model"):
        dftopt.minimize(silicon()[0], aluminium()[1])


@pytest.mark.parametrize("change", ["positions", "strain"])
def test_inputs_that_break_the_symmetry_are_refused(change):
    model, basis = silicon()
    inputs = model.inputs()
    inputs[change] = inputs[change] + np.array([[0.2, 0.1, 0.0]] + [[0.0] * 3] * (len(inputs[change]) - 1))
    with pytest.raises(InputError, match="symmetry=False"):
        dftopt.minimize(model, basis, inputs=inputs, progress=False)
    kept = model.inputs()
    kept["strain"] = 0.01 * np.eye(3)  # keeps every symmetry
    kept["positions"] = kept["positions"] + [0.1, 0.2, 0.3]  # a translation moves the symmetry elsewhere
    with pytest.raises(InputError, match="symmetry=False"):
        dftopt.minimize(model, basis, inputs=kept, progress=False)
    with pytest.raises(InputError, match="model.inputs"):
        dftopt.minimize(model, basis, inputs={}, progress=False)


def test_a_list_gives_a_list():
    """Each as its own run gives it."""
    (a, b), (c, d) = silicon(), aluminium()
    both = dftopt.minimize([a, c], [b, d], temperature=0.01, nbands=8, tol=1e-12, progress=False)
    assert float(both[1].energies.free) == pytest.approx(float(aluminium_result().energies.free), abs=1e-11)
    assert [r.model is m for r, m in zip(both, (a, c), strict=True)] == [True, True]
    with pytest.raises(InputError, match="two lists of equal length"):
        dftopt.minimize([a, c], [b])
    with pytest.raises(InputError, match="two lists of equal length"):
        dftopt.minimize([a], b)
    with pytest.raises(InputError, match="as many as there are models"):
        dftopt.minimize([a, c], [b, d], start=["atomic"])


def test_later_calls_of_the_descent_run_the_program_of_the_first(monkeypatch):
    """A long minimization is several calls of one compiled program: the state comes out with the types it went in with."""
    model, basis = aluminium()
    states = []
    run = descent.run

    def watched(problem, state, *more):
        out = run(problem, state, *more)
        states.append((state, out[0]))
        return out

    monkeypatch.setattr(descent, "run", watched)
    dftopt.minimize(model, basis, maxiter=1, progress=False, **METAL)
    before, after = ([(jax.typeof(leaf), leaf.weak_type) for leaf in jax.tree.leaves(s)] for s in states[0])
    assert before == after
