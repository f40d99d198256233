"""Derivatives of degenerate levels: given where they exist, refused where they do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dftopt
from dftopt.properties.implicit.levels import _levels, _lowest
from dftopt.properties.implicit.linear import undefined

H = jnp.diag(jnp.array([0.0, 1.0, 1.0, 2.0])).astype(complex)[None, None]  # the middle two are degenerate
SPLIT = jnp.zeros((1, 1, 4, 4), complex).at[0, 0, 1, 2].set(0.3).at[0, 0, 2, 1].set(0.3)
SHIFT = jnp.diag(jnp.array([0.1, 0.5, 0.5, -0.2])).astype(complex)[None, None]


def levels(h, together=False):
    return _levels(h, jnp.real(jnp.diagonal(h, axis1=-2, axis2=-1)), together)


def words(error) -> str:
    return " ".join(str(error.value).split())


def test_forward_mode_refuses_what_splits_a_level():
    with pytest.raises(dftopt.InputError) as error:
        jax.jvp(levels, (H,), (SPLIT,))
    assert "levels 1 to 2 at k point 0 (spin 0) are degenerate" in words(error) and "multiplets" in words(error)
    assert jax.jvp(levels, (H,), (SHIFT,))[1].ravel().tolist() == [0.1, 0.5, 0.5, -0.2]


def test_reverse_mode_gives_traces_and_refuses_single_levels():
    with pytest.raises(dftopt.InputError) as error:
        jax.grad(lambda h: levels(h)[0, 0, 1], holomorphic=False)(H)
    assert "degenerate" in words(error)
    trace = jax.grad(lambda h: levels(h)[0, 0, 1:3].sum())(H)
    assert np.allclose(trace[0, 0], np.diag([0, 1, 1, 0]))
    assert np.allclose(jax.grad(lambda h: levels(h)[0, 0, 3])(H)[0, 0], np.diag([0, 0, 0, 1]))


def test_multiplets_always_have_derivatives():
    means = lambda h: levels(h, True)
    assert jax.jvp(means, (H,), (SPLIT,))[1].ravel().tolist() == [0, 0, 0, 0]
    assert np.allclose(jax.grad(lambda h: means(h)[0, 0, 1])(H)[0, 0], np.diag([0, 0.5, 0.5, 0]))


def test_members_of_a_batch_are_degenerate_each_in_its_own_way():
    h = jnp.stack([H, H.at[0, 0, 1, 1].set(0.9)])
    assert jnp.array_equal(jax.vmap(lambda h: levels(h, True))(h)[:, 0, 0], jnp.array([[0, 1, 1, 2], [0, 0.9, 1, 2]]))
    change = jax.vmap(lambda h: jax.jvp(levels, (h,), (SHIFT,))[1])(h)
    assert np.allclose(change[:, 0, 0], [0.1, 0.5, 0.5, -0.2])
    trace = jax.vmap(jax.grad(lambda h: levels(h)[0, 0, 1:3].sum()))(h)
    assert np.allclose(trace[:, 0, 0], np.diag([0, 1, 1, 0]))
    with pytest.raises(dftopt.InputError):
        jax.vmap(lambda h: jax.jvp(levels, (h,), (SPLIT,))[1])(h)
    assert jax.vmap(jax.grad(_lowest))(jnp.array([[0.1, 0.3], [0.4, 0.2]])).tolist() == [[1, 0], [0, 1]]


def test_an_edge_shared_by_several_states_follows_them_together_only():
    e = jnp.array([0.3, 0.3, 0.7]).reshape(1, 3, 1)
    assert jax.jvp(_lowest, (e,), (jnp.array([0.2, 0.2, 9.0]).reshape(1, 3, 1),))[1] == 0.2
    for refused in (
        lambda: jax.jvp(_lowest, (e,), (jnp.array([0.2, 0.1, 0.0]).reshape(1, 3, 1),)),
        lambda: jax.grad(_lowest)(e),
    ):
        with pytest.raises(dftopt.InputError) as error:
            refused()
        assert "2 states share the edge of the band gap" in words(error)
    assert jax.grad(_lowest)(e.at[0, 0, 0].set(0.1)).ravel().tolist() == [1, 0, 0]


def test_what_has_no_derivative_is_not_a_number_and_spoils_nothing_else():
    value = lambda p: undefined(p["n"]) * p["x"]
    p = {"n": jnp.array(4.0), "x": jnp.array(2.0)}
    gradient = jax.grad(value)(p)
    assert np.isnan(gradient["n"]) and gradient["x"] == 4.0
    assert jax.jvp(lambda x: value({**p, "x": x}), (p["x"],), (1.0,))[1] == 4.0
