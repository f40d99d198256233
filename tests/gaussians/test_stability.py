"""A closed shell pulled apart: a saddle point that the curvature finds, and a way down."""

from ase import Atoms

import dftopt


def test_stretched_hydrogen_breaks_its_symmetry():
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 2.5]])
    model = dftopt.Model(atoms, xc="LDA", spinpol=True)
    basis = dftopt.Gaussians(model, basis="6-31g", grid=0)
    closed = dftopt.minimize(model, basis, magnetization=0, tol=1e-11, progress=False)
    assert closed.converged and closed.spin_squared < 1e-6
    found = dftopt.stability(closed)
    assert not found.stable and found.curvature < -1e-3
    broken = dftopt.minimize(model, basis, magnetization=0, start=found.restart, tol=1e-11, progress=False)
    assert broken.converged and broken.energies.total < closed.energies.total - 1e-3
    assert broken.spin_squared > 0.5
    assert dftopt.stability(broken).stable
    atoms.set_initial_magnetic_moments([1, -1])
    model = dftopt.Model(atoms, xc="LDA", spinpol=True)
    moments = dftopt.minimize(
        model, dftopt.Gaussians(model, basis="6-31g", grid=0), magnetization=0, tol=1e-11, progress=False
    )
    assert abs(moments.energies.total - broken.energies.total) < 1e-8
