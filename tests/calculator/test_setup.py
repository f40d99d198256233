"""Calculator keywords become models, bases and options, in hartree and bohr."""

import pytest
from ase.build import bulk
from ase.units import Hartree

from dftopt.calculator.setup import DEFAULTS, build
from dftopt.errors import InputError


def test_defaults_are_those_of_the_contract_and_leave_notes():
    setup = build(bulk("Si", a=5.43), {})
    assert setup.model.functional.name.upper().startswith("PBE") or setup.parameters["xc"] == "PBE"
    assert setup.basis.kpoints.size == (11, 11, 11)  # |b| = 2.004 1/angstrom
    assert setup.minimize_options["temperature"] == pytest.approx(0.1 / Hartree)
    assert setup.minimize_options["smearing"] == "fermi-dirac"
    assert setup.parameters["ecut"] == pytest.approx(setup.basis.ecut * Hartree)
    assert len(setup.notes) == 3 and "measured for GTH-PBE-q4 of Si" in setup.notes[0]
    assert build(bulk("Si", a=5.43), {"ecut": 150, "kpts": (2, 2, 2), "occupations": "fixed"}).notes == []


@pytest.mark.parametrize(
    ("kpts", "size", "shift"),
    [
        ((2, 3, 4), (2, 3, 4), (0, 0, 0)),
        ({"size": (2, 2, 2), "gamma": True}, (2, 2, 2), (0, 0, 0)),
        ({"size": (2, 2, 2), "gamma": False}, (2, 2, 2), (0.5, 0.5, 0.5)),
        ({"size": (2, 2, 2), "shift": (0.5, 0, 0)}, (2, 2, 2), (0.5, 0, 0)),
        ({"density": 2.0}, (5, 5, 5), (0, 0, 0)),
        ({"density": 2.0, "even": True}, (6, 6, 6), (0, 0, 0)),
        ({"spacing": 0.5}, (5, 5, 5), (0, 0, 0)),
    ],
)
def test_meshes(kpts, size, shift):
    points = build(bulk("Si", a=5.43), {"ecut": 150, "kpts": kpts}).basis.kpoints
    assert points.size == size and points.shift == shift


def test_chosen_parameters_reproduce_the_setup():
    first = build(bulk("Al"), {"ecut": 200, "kpts": {"density": 2.0}, "tol": 1e-7})
    again = build(bulk("Al"), first.parameters)
    assert again.minimize_options == first.minimize_options
    assert again.basis.kpoints.size == first.basis.kpoints.size
    assert first.parameters.keys() == DEFAULTS.keys()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kpts": {"size": (2, 2, 2), "density": 2.0}}, "exactly one of"),
        ({"occupations": 0.1}, "needs a name"),
        ({"spinpol": "yes"}, "true or false"),
        ({"nbands": True}, "whole number"),
        ({"maxiter": 2.5}, "whole number"),
        ({"ecut": "30Ry"}, "neither a number, in eV, nor one of low"),
        ({"mode": {"name": "pw", "ecut": 300}}, "GPAW's way"),
    ],
)
def test_wrong_values(parameters, message):
    with pytest.raises(InputError, match=message):
        build(bulk("Si"), {"ecut": 150, "kpts": (2, 2, 2), **parameters})
