import gc
import os
import sys
from pathlib import Path

import jax
import matplotlib
import pytest

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parent))  # tests share tests/systems.py

# Never the user's own. Shared by the processes of a run and by later runs: compilation is most of what tests wait for.
os.environ.setdefault("DFTOPT_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"))

# Most of what tests wait for is XLA's compiler: without its costly passes a run takes 0.63 of the time, with the same numbers.
# Subprocesses inherit it. Users' programs, the demonstration and the benchmarks are compiled with all of them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

from dftopt import enable_compilation_cache, use_cores  # noqa: E402

enable_compilation_cache()
use_cores(1)  # tests run side by side; `bases/test_devices.py` uses several

LINUX = sys.platform == "linux"
MOST_MEMORY = 2**31  # bytes of one process; compiled programs come back from the cache on disk


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_dropped():
    yield
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if LINUX else 0
    if resident > MOST_MEMORY:
        jax.clear_caches()
        gc.collect()
