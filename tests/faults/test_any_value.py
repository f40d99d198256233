"""Values of a wrong kind, for every option there is: refused by name, never a traceback, never taken for something else."""

import inspect

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import dftopt
from dftopt.calculator import setup
from dftopt.errors import InputError

WRONG = ("off", "4", b"x", -1.5, np.nan, np.inf, 1 + 2j, [], [1], {"a": 1}, np.array([1.0, 2.0]), object(), 10**30)
HYDROGEN = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
# what is right for some options: files and functionals are named, explicit lists and tables given, energies may be negative
RIGHT = {
    "checkpoint": ("off", "4"), "txt": ("off", "4"), "like": ({"a": 1},), "charge": (-1.5,), "magnetization": (-1.5,),
}  # fmt: skip


def minimize(**given):
    model = dftopt.Model(bulk("Si"), xc="LDA", spinpol="magnetization" in given or "starts" in given)
    return dftopt.minimize(model, dftopt.PlaneWaves(model, ecut=3.0), **{"progress": False, **given})


CALLS = {
    "Model": (lambda **given: dftopt.Model(bulk("Si"), **given), dftopt.Model),
    "PlaneWaves": (
        lambda **given: dftopt.PlaneWaves(dftopt.Model(bulk("Si"), xc="LDA"), **{"ecut": 3.0, **given}), dftopt.PlaneWaves,
    ),
    "Gaussians": (lambda **given: dftopt.Gaussians(dftopt.Model(HYDROGEN, xc="LDA"), **given), dftopt.Gaussians),
    "minimize": (minimize, dftopt.minimize),
    "DFTOpt": (lambda **given: setup.build(bulk("Si"), {"ecut": 80.0, "kpts": (1, 1, 1), **given}), None),
}  # fmt: skip


def options(function) -> list[str]:
    """Names of the options of a function; of the calculator where there is none."""
    if function is None:
        return [key for key in setup.KEYS if key != "txt"]  # looked at when the calculation starts
    return [name for name in inspect.signature(function).parameters if name not in ("atoms", "model", "basis")]


@pytest.mark.filterwarnings("ignore::dftopt.errors.DFTOptWarning")
@pytest.mark.parametrize(("name", "option"), [(name, option) for name in CALLS for option in options(CALLS[name][1])])
def test_values_of_a_wrong_kind(name, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = CALLS[name][0]
    for value in WRONG:
        if any(type(value) is type(right) and value == right for right in RIGHT.get(option, ())):
            continue
        with pytest.raises(InputError) as refused:
            call(**{option: value})
        assert option.rstrip("s") in str(refused.value) and "\n" not in str(refused.value), (value, str(refused.value))
