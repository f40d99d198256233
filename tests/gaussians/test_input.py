"""Wrong input of molecules: named, before integrals are computed."""

import numpy as np
import pytest
from ase import Atoms
from cases import atoms_of

import dftopt

WATER = atoms_of("H2O")


def text(error) -> str:
    return " ".join(str(error.value).split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"basis": "def2-svq"}, "unknown"),
        ({"basis": {"O": "sto-3g"}}, "names no basis set for H"),
        ({"basis": 3}, "must be a name"),
        ({"grid": 10}, "grid = 10"),
        ({"grid": 2.5}, "grid = 2.5"),
        ({"density_fit": "yes"}, "density_fit = 'yes'"),
    ],
)
def test_basis(options, said):
    with pytest.raises(dftopt.InputError) as error:
        dftopt.Gaussians(dftopt.Model(WATER), **options)
    assert said in text(error)


def test_element_without_functions():
    with pytest.raises(dftopt.InputError) as error:
        dftopt.Gaussians(dftopt.Model(Atoms("Au")), basis="6-31g")
    assert "no functions for Au" in text(error)


def test_periodic_cell():
    atoms = WATER.copy()
    atoms.set_cell([10, 10, 10])
    atoms.pbc = True
    with pytest.raises(dftopt.InputError) as error:
        dftopt.Gaussians(dftopt.Model(atoms))
    assert "periodic" in text(error) and "PlaneWaves" in text(error)


def test_coinciding_nuclei():
    with pytest.raises(dftopt.InputError):
        dftopt.Model(Atoms("H2", positions=np.zeros((2, 3))))


def test_linear_dependence():
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.0012]])
    with pytest.raises(dftopt.InputError) as error:
        dftopt.Gaussians(dftopt.Model(atoms, force=True), basis="cc-pvtz")
    assert "linearly dependent" in text(error)


def test_memory(monkeypatch):
    from dftopt.atoms import checks

    monkeypatch.setattr(checks, "memory_limit_gib", lambda: 1e-6)
    with pytest.raises(dftopt.InputError) as error:
        dftopt.Gaussians(dftopt.Model(WATER), density_fit=False)
    assert "GiB" in text(error)


def test_density_is_fitted_where_exact_integrals_do_not_fit(monkeypatch):
    from dftopt.atoms import checks

    model = dftopt.Model(WATER)
    assert not dftopt.Gaussians(model).density_fit
    gib = 3 * dftopt.Gaussians(model).exact_gib
    monkeypatch.setattr(checks, "memory_limit_gib", lambda: gib)
    monkeypatch.setattr(dftopt.Gaussians, "_check_memory", lambda self, asked: None)
    basis = dftopt.Gaussians(model)
    assert basis.density_fit and "fitted" in basis.notes[0]


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ({"charge": 1}, {}, "doublet"),
        ({"spinpol": True}, {"magnetization": 1}, "impossible with 10 electrons"),
        ({"spinpol": True}, {"magnetization": 12}, "more than the 10 electrons"),
        ({}, {"magnetization": 0}, "spin polarization"),
        ({"charge": 0.5}, {}, "fraction"),
        ({}, {"minimizer": "newtn"}, "minimizer = 'newtn'"),
        ({}, {"minimizer": "newton", "temperature": 0.01}, "fixed occupations"),
        ({}, {"nbands": 2}, "nbands = 2"),
        ({}, {"start": "random"}, "start = 'random'"),
        ({}, {"parametrization": "row-norm"}, "temperature"),
    ],
)
def test_options(model, options, said):
    m = dftopt.Model(WATER, **model)
    with pytest.raises(dftopt.InputError) as error:
        dftopt.minimize(m, dftopt.Gaussians(m, basis="sto-3g", grid=0), **options)
    assert said in text(error)


def test_another_model():
    a, b = dftopt.Model(WATER), dftopt.Model(WATER)
    with pytest.raises(dftopt.InputError):
        dftopt.minimize(a, dftopt.Gaussians(b, basis="sto-3g"))


def test_potentials():
    with pytest.raises(dftopt.InputError) as error:
        dftopt.Gaussians(dftopt.Model(WATER, pseudopotentials="GTH-PBE"))
    assert "pseudopotentials" in text(error)


def test_effective_core_potential_comes_with_the_basis():
    basis = dftopt.Gaussians(dftopt.Model(Atoms("HI", positions=[[0, 0, 0], [0, 0, 1.6]])), basis="def2-svp")
    assert basis.n_electrons == 26 and "I without 28 electrons" in basis.notes[1]
