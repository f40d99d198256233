"""What is asked wrongly is refused before anything is computed."""

import jax
import jax.numpy as jnp
import pytest
from ase.build import bulk
from test_differentiable import insulator, metal

import dftopt


def refusal(call) -> str:
    with pytest.raises(dftopt.InputError) as error:
        call()
    return " ".join(str(error.value).split())


def test_inputs_are_checked():
    f = insulator()
    p = f.parameters
    assert "no continuous input" in refusal(lambda: f({**p, "kpts": jnp.ones(3)}))
    assert "lacks 'strain'" in refusal(lambda: f({k: v for k, v in p.items() if k != "strain"}))
    assert "has the shape (3,)" in refusal(lambda: f({**p, "positions": jnp.zeros(3)}))
    assert "structure of f.parameters" in refusal(lambda: f({**p, "xc": {}}))
    assert "does not mix" in refusal(lambda: f({**p, "fractions": jnp.array([0.0, 0.5])}))
    assert "made for 0" in refusal(lambda: f({**p, "temperature": 0.01}))
    assert "made for a finite one" in refusal(lambda: metal()({**metal().parameters, "temperature": 0.0}))
    with pytest.raises(KeyError):
        f(p)["polarization"]


def test_a_minimization_cannot_be_compiled():
    f = insulator()
    assert "outside jax.jit" in refusal(
        lambda: jax.jit(lambda x: f({**f.parameters, "positions": x})["energy"])(jnp.ones((2, 3)))
    )


def test_a_metal_has_no_gap_and_some_smearings_no_minimum():
    f = metal()
    assert "no gap to differentiate" in refusal(lambda: f(f.parameters)["gap"])
    for smearing in ("methfessel-paxton", "marzari-vanderbilt"):
        assert "need a minimum" in refusal(
            lambda smearing=smearing: dftopt.differentiable(f.model, f.basis, temperature=0.02, smearing=smearing)
        )
    assert "derivatives need 'auto'" in refusal(
        lambda: dftopt.differentiable(f.model, f.basis, temperature=0.02, parametrization="row-norm")
    )


def test_sites_that_mix_are_checked():
    f = insulator()
    make = lambda mix: lambda: dftopt.differentiable(f.model, f.basis, mix=mix)
    assert "no atom 7" in refusal(make({7: "Ge"}))
    assert "no element" in refusal(make({0: "Xx"}))


def test_a_mesh_reduced_by_symmetry_is_unfolded():
    model = dftopt.Model(bulk("Si", a=5.43), xc="LDA")
    reduced = dftopt.PlaneWaves(model, ecut=3.0, kpts=(2, 2, 2))
    f = dftopt.differentiable(model, reduced)
    assert reduced.nk == 3 and f.basis.nk == 8  # every point of this mesh is its own image under time reversal
    assert f.basis.fft == reduced.fft and f.basis.kpoints.weights.sum() == pytest.approx(1)
    assert sorted(f.parameters) == sorted(
        ("positions", "strain", "temperature", "electrons", "xc", "fractions", "pseudopotentials")
    )
    assert {"rloc", "cloc", "r", "h"} < set(f.parameters["pseudopotentials"]["Si"])
