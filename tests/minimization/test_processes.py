"""Several processes share one minimization: the result is that of one process, whole in each of them."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
from systems import aluminium

import dftopt

OPTIONS = {"temperature": 0.01, "tol": 1e-12, "progress": False}
SCRIPT = """
    import json, sys
    import jax
    import dftopt
    from test_processes import OPTIONS, aluminium

    dftopt.enable_compilation_cache()
    jax.distributed.initialize(f"localhost:{sys.argv[2]}", num_processes=2, process_id=int(sys.argv[1]))
    assert (jax.device_count(), jax.local_device_count()) == (2, 1)
    model, basis = aluminium()
    r = dftopt.minimize(model, basis, **OPTIONS)
    try:
        dftopt.minimize(model, basis, **OPTIONS, checkpoint="kept.h5")
    except dftopt.errors.InputError as error:
        assert "2 processes" in str(error)
    else:
        raise AssertionError("a checkpoint was promised")
    numbers = [float(r.energies.free), r.eigenvalues.tolist(), r.forces().tolist(), r.stress().tolist()]
    print(json.dumps([*numbers, r.stats.evaluations, r.psi.shape]))
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def test_two_processes_find_what_one_finds():
    port, here = str(free_port()), Path(__file__).parent
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT)]
    both = [
        subprocess.Popen([*command, str(i), port], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    ended = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    first, second = (json.loads(out.strip().splitlines()[-1]) for out, _ in ended)
    assert first == second  # to the last digit
    r = dftopt.minimize(*aluminium(), **OPTIONS)
    assert abs(first[0] - float(r.energies.free)) < 1e-10
    np.testing.assert_allclose(first[1], r.eigenvalues, atol=1e-7)
    np.testing.assert_allclose(first[2], r.forces(), atol=1e-10)
    np.testing.assert_allclose(first[3], r.stress(), atol=1e-9)
    assert first[4:] == [r.stats.evaluations, list(r.psi.shape)]
