"""Forces and stress of magnets, meta-GGAs and core corrections; `python benchmarks/derivatives.py` prints the numbers."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def derivatives():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import derivatives

        yield derivatives
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.slow  # for every run: the antiferromagnetic pair of hydrogen atoms in minimization/test_spin.py
@pytest.mark.filterwarnings("ignore:nbands = :dftopt.errors.DFTOptWarning")
@pytest.mark.parametrize("name", ["iron", "chromium", "scan", "r2scan"])
def test_all_components(derivatives, name):
    r = derivatives.minimum(name)
    if name == "iron":
        assert r.magnetization > 3.5
    if name == "chromium":  # opposite moments
        assert r.absolute_magnetization > 3 and abs(r.magnetization) < 0.1
    assert max(derivatives.errors(name)) < 1e-6
