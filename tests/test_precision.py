import subprocess
import sys


def test_double_precision_is_switched_on_and_import_is_light():
    code = (
        "import sys, dftopt; assert 'jax' not in sys.modules; dftopt.Model; import jax; assert jax.config.jax_enable_x64; "
        "assert 'DFTOpt' in dir(dftopt)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
