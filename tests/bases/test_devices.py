"""k points shared by several devices: the same numbers as on one. Each case in a process of its own, since JAX counts once."""

import json
import subprocess
import sys

import pytest

import dftopt
from dftopt.errors import InputError

SCRIPT = """
import json, os, sys, warnings
import numpy as np
import dftopt
warnings.simplefilter("ignore")
import jax
assert dftopt.use_cores(int(sys.argv[1])) <= int(sys.argv[1])
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))  # also where the machine has fewer cores
os.environ.setdefault("NPROC", "8")
dftopt.enable_compilation_cache()
from ase.build import bulk
assert jax.local_device_count() == int(sys.argv[1])
out = []
silicon, metal = bulk("Si", a=5.43), bulk("Al", a=4.05)
metal.set_initial_magnetic_moments([1.0])
mixed = {"temperature": 0.02, "parametrization": "row-norm"}  # its point is not an array of k points
for atoms, spin, kpts, options in (
    (silicon, False, (2, 2, 2), {}),                      # 3 k points: the last one is repeated
    (metal, True, (2, 2, 2), {"temperature": 0.02}),
    (silicon, False, (1, 1, 2), mixed),
):
    model = dftopt.Model(atoms, xc="LDA", spinpol=spin)
    basis = dftopt.PlaneWaves(model, ecut=4.0, kpts=kpts, symmetry=options is not mixed)
    r = dftopt.minimize(model, basis, progress=False, tol=1e-11, **options)
    again = dftopt.minimize(model, basis, progress=False, tol=1e-11, start=r, **options)
    out.append([basis.nk, float(r.energies.free), float(again.energies.free), r.forces().ravel().tolist(), r.stress().ravel().tolist(),
                r.eigenvalues.ravel().tolist(), list(r.psi.shape)])
print(json.dumps(out))
"""


def results(cores: int):
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(cores)], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_devices_give_what_one_gives():
    for one, two in zip(results(1), results(2), strict=True):
        assert one[0] == two[0] and one[-1] == two[-1]
        for a, b, bound in zip(one[1:-1], two[1:-1], (1e-10, 1e-10, 1e-7, 1e-9, 1e-7), strict=True):
            assert b == pytest.approx(a, abs=bound)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "all"])
def test_wrong_numbers_of_cores(n):
    with pytest.raises(InputError, match="must be a whole number of cores"):
        dftopt.use_cores(n)


def test_after_the_start_of_jax_nothing_changes():
    before = dftopt.use_cores()
    dftopt.minimize  # noqa: B018  # imports it
    assert dftopt.use_cores() == before
