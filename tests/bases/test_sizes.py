"""Array sizes that are kept from one structure to the next."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from systems import ECUT, silicon

import dftopt
from dftopt.bases.sizes import Sizes, padded
from dftopt.energy.free_energy import energies_and_hpsi
from dftopt.energy.prepared import key_of, prepare, prepare_arrays, static_arrays
from dftopt.minimization.orbitals import cholesky_qr
from dftopt.minimization.start import random_orbitals


def scaled(factor, **options):
    """Si2 with its lattice constant times `factor`."""
    atoms = silicon()[0].atoms.copy()
    atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)
    return dftopt.PlaneWaves(dftopt.Model(atoms, xc="LDA"), ecut=ECUT, kpts=(2, 2, 2), **options)


def shapes(basis):
    return [x.shape for x in jax.tree.leaves(static_arrays(basis)) if hasattr(x, "shape")]


def test_sizes_are_kept_where_they_suffice_and_grow_with_room_where_they_do_not():
    first = Sizes()
    assert first.fit("rows", 10, lambda room: round(10 * (1 + room))) == 10
    second = Sizes(first.as_dict())
    assert second.fit("rows", 7, lambda room: 7) == 10
    assert second.fit("rows", 99, lambda room: 99) == 10  # one answer per structure
    third = Sizes({"rows": 10, "others": 100}, needed={"rows": 50, "new": 1})
    assert third.fit("rows", 50, lambda room: round(50 * (1 + room))) == 52
    assert third.fit("others", 99, lambda room: round(99 * (1 + room))) == 103  # one compilation for all
    assert Sizes(room=0.1).fit("rows", 10, lambda room: round(10 * (1 + room))) == 11
    assert Sizes(room=0.1).fit("rows", 10, lambda room: round(10 * (1 + room)), exact=True) == 10
    np.testing.assert_array_equal(padded(np.ones((1, 2)), 2, 7.0), [[1, 1], [7, 7]])


def test_smaller_cells_keep_all_shapes_and_their_own_plane_waves():
    largest = scaled(1.05)
    wanted = shapes(largest)
    like = largest
    for factor in (1.03, 1.0, 0.95):
        basis = scaled(factor, like=like)
        own = scaled(factor, fft=largest.fft)
        assert shapes(basis) == wanted
        assert all(np.array_equal(a, b) for a, b in zip(basis.spheres, own.spheres, strict=True))
        like = basis
    assert shapes(own) != wanted


def test_a_larger_cell_grows_once_with_room_for_more():
    first, alone = scaled(1.0), scaled(1.12)
    second = scaled(1.12, like=first)
    assert second.npw > alone.npw > first.npw and min(second.fft) > min(first.fft)
    wanted = shapes(second)
    assert shapes(scaled(1.16, like=second)) == wanted


def test_room_is_left_for_cells_that_grow_but_not_in_the_grid():
    roomy = scaled(1.0, room=0.03)
    assert roomy.fft == scaled(1.0).fft and roomy.npw > scaled(1.0).npw
    wanted = shapes(roomy)
    assert shapes(scaled(1.029, like=roomy)) == wanted


def test_a_given_grid_stays_given():
    assert scaled(1.0, fft=(20, 20, 20), like=scaled(1.03)).fft == (20, 20, 20)
    assert scaled(1.0, like=scaled(1.0, fft=(20, 20, 20))).fft == (20, 20, 20)


def test_padding_changes_no_number():
    """Energies, H psi and the forces between ions, of the same orbitals in own and in larger arrays."""
    tight = silicon()[1]
    same_grid = {f"fft {i}": n for i, n in enumerate(tight.fft)}
    loose = scaled(1.0, like={**scaled(1.08).sizes, **same_grid, "R": 999, "G": 999})
    assert loose.npw > tight.npw and loose.fft == tight.fft and loose.stars.members.shape > tight.stars.members.shape
    prepared = prepare(tight.model, tight)
    psi = cholesky_qr(random_orbitals(jax.random.key(1), (1, tight.nk, 4, tight.npw), prepared.orbitals))
    f = jnp.array([1.0, 1.0, 0.8, 0.3]) * jnp.ones((1, tight.nk, 1))

    @partial(jax.jit, static_argnames="key")
    def evaluate(inputs, arrays, orbitals, key):
        energies, h = energies_and_hpsi(orbitals, f, prepare_arrays(inputs, arrays, key))
        ions = lambda inputs: prepare_arrays(inputs, arrays, key).ewald
        return energies, h[..., : tight.npw], jax.grad(ions)(inputs)

    def numbers(basis):
        orbitals = jnp.pad(psi, ((0, 0), (0, 0), (0, 0), (0, basis.npw - tight.npw)))
        inputs = jax.tree.map(jnp.asarray, tight.model.inputs())
        return jax.tree.leaves(evaluate(inputs, static_arrays(basis), orbitals, key_of(basis.model, basis)))

    own, larger = numbers(tight), numbers(loose)
    for a, b in zip(own, larger, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11)
