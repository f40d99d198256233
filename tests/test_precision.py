import os
import subprocess
import sys

import pytest


def test_double_precision_is_switched_on_and_import_is_light():
    code = (
        "import sys, dftopt; assert 'jax' not in sys.modules; dftopt.Model; import jax; assert jax.config.jax_enable_x64; "
        "assert 'DFTOpt' in dir(dftopt)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("order", ["import dftopt, jax.numpy as np", "import jax.numpy as np, dftopt"])
def test_arrays_made_before_the_first_calculation_are_double(order):
    """Of kappa and mu, say: in single precision derivatives in them would be refused, or less accurate."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    subprocess.run(
        [sys.executable, "-c", f"{order}; assert np.ones(1).dtype == 'float64'"], check=True, env=environment
    )
