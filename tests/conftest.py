import os
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parent))  # tests share tests/systems.py

# Never the user's own. Shared by the processes of a run and by later runs: compilation is most of what tests wait for.
os.environ.setdefault("DFTOPT_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"))

from dftopt import enable_compilation_cache  # noqa: E402

enable_compilation_cache()
