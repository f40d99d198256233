import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parent))  # tests share tests/systems.py
import os
import tempfile

os.environ.setdefault("DFTOPT_CACHE", tempfile.mkdtemp(prefix="dftopt-test-cache-"))  # never the user's own
