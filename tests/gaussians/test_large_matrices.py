"""Matrices of large molecules, without their integrals."""

import os
import subprocess
import sys

import numpy as np

from dftopt.energy.repulsion import Repulsion, hartree_and_potential

SCRIPT = """
import jax, numpy as np
from dftopt.energy.repulsion import Repulsion, hartree_and_potential
n = 970
i = np.arange(n)
r = Repulsion(np.ones((1, n)), i, i, np.ones((1, 1)))
h = jax.jit(lambda d, r, k: k + hartree_and_potential(d, r)[1])(np.eye(n), r, np.zeros((n, n)))
print(float(h[-1, -1]), float(np.abs(h - np.diag(np.diag(h))).max()))
"""


def test_the_repulsion_of_970_functions_fits_the_stack_of_a_thread():
    """A program that turns a matrix of this size around while it makes it needed more: the process ended without a word."""
    optimized = {**os.environ, "XLA_FLAGS": ""}  # as users' programs are compiled
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, env=optimized)
    assert done.returncode == 0, done.stderr
    assert [float(x) for x in done.stdout.split()] == [970.0, 0.0]


def test_the_potential_of_pairs_is_symmetric_and_the_derivative_of_their_energy():
    rng = np.random.default_rng(1)
    i, j = (x[[0, 1, 2, 4, 7, 8, 13]] for x in np.tril_indices(5))  # not all pairs
    d = rng.normal(size=(5, 5))
    d = d + d.T
    r = Repulsion(rng.normal(size=(3, len(i))), i, j, np.linalg.cholesky(np.diag([1.0, 2.0, 3.0])))
    energy, potential = hartree_and_potential(d, r)
    np.testing.assert_array_equal(potential, potential.T)
    np.testing.assert_allclose(0.5 * np.sum(d * potential), energy, rtol=1e-13)
