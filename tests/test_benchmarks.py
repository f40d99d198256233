"""The benchmarks' own parts: what is written for pw.x, what is read from it, and the independent check of a result."""

import sys
from pathlib import Path

import numpy as np
import pytest
from systems import METAL, aluminium, aluminium_result, silicon, silicon_result

import dftopt
from dftopt.atoms.gth import load

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    """Import a module of the benchmarks; their `systems` is not that of the tests."""
    before = sys.modules.pop("systems")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import bands_vs_qe
        import independent
        import pwx
        import vs_qe

        yield {"bands_vs_qe": bands_vs_qe, "independent": independent, "pwx": pwx, "vs_qe": vs_qe}
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules["systems"] = before


def test_potential_in_the_format_of_pwx(benchmark):
    lines = [line.split() for line in benchmark["pwx"].gth_text(load("Nb", "GTH-PBE-q13")).splitlines()]
    assert lines[1][:2] == ["41", "13"] and lines[2][:3] == ["10", "11", "2"]
    assert lines[3][1] == "2" and [float(x) for x in lines[3][2:4]] == pytest.approx(
        [26.27526252, -4.57803146], abs=1e-7
    )
    assert lines[4][0] == "3"
    shape = [len([x for x in line if x.lstrip("-").replace(".", "").isdigit()]) for line in lines[5:]]
    assert shape == [4, 1, 4, 1, 2, 1, 4, 1, 2, 1]  # l = 0 has no spin-orbit part


def test_input_of_pwx(benchmark, tmp_path):
    model, basis = aluminium()
    options = {"nbands": METAL["nbands"], "temperature": METAL["temperature"], "smearing": "marzari-vanderbilt"}
    assert benchmark["pwx"].write(tmp_path, model, basis, tol=1e-8, **options) == "scf"
    text = (tmp_path / "scf.in").read_text()
    for part in (
        "ecutwfc=12.0",
        "degauss=0.02",
        "smearing='cold'",
        "nbnd=8",
        "K_POINTS automatic\n2 2 2 0 0 0",
        "conv_thr=2.000000e-08",
    ):
        assert part in text
    assert "nr1={}, nr2={}, nr3={}".format(*basis.fft) in text
    cell = np.array([line.split() for line in text.split("CELL_PARAMETERS bohr\n")[1].splitlines()[:3]], float)
    np.testing.assert_allclose(cell, model.structure.cell, atol=1e-14)


OUTPUT = """
     number of k points=     8
     Dense  grid:    2229 G-vectors     FFT dimensions: (  25,  25,  25)
     estimated scf accuracy    <       0.00003333 Ry
     estimated scf accuracy    <          2.1E-09 Ry
!    total energy              =     -15.85370222 Ry
     convergence has been achieved in   6 iterations
     fftw         :      0.54s CPU      0.55s WALL (    4458 calls)
     PWSCF        :   1m 0.50s CPU      1m 2.25s WALL
"""
BANDS = """
     End of band structure calculation

          k = 0.0000 0.0000 0.0000 (   749 PWs)   bands (ev):

    -5.9045   6.0713   6.0713   6.0713   8.6084   8.6084   8.6084   9.1949
    10.0000-100.5000

          k =-0.1768 0.1768-0.1768 (   754 PWs)   bands (ev):

    -5.1038   2.1178   5.3106   5.3106   7.9799   9.5497   9.5497  12.7746
    11.0000  12.0000

     highest occupied, lowest unoccupied level (ev):     6.0713    6.6
"""


def test_output_of_pwx(benchmark):
    run = benchmark["pwx"].parse(OUTPUT, wall=63.0, memory=35.0)
    assert (run.free_energy, run.scf_error) == (-7.92685111, 1.05e-9)
    assert run.converged and (run.iterations, run.ffts, run.kpoints, run.fft) == (6, 4458, 8, (25, 25, 25))
    assert (run.inside_seconds, run.cpu_seconds, run.process_seconds) == (62.25, 60.5, 63.0)
    e = np.array(benchmark["pwx"].eigenvalues(BANDS))
    assert e.shape == (2, 10) and e[0, 9] == -100.5 and e[1, 8] == 11.0
    with pytest.raises(benchmark["pwx"].PWFailed):
        benchmark["pwx"].parse("FFT dimensions: (  25,  25,  25)", 1.0, 1.0)


def test_tables_without_pwx(benchmark):
    ours = {
        "free_energy": -7.9, "error": 1e-9, "checked_error": 1e-9, "checked_residual": 1e-5, "atoms": 2, "kpoints": 8,
        "cold_seconds": 12.0, "cold_compile_seconds": 9.0, "warm": [{"seconds": 0.5}], "plane_waves": 754, "fft": [25, 25, 25],
        "iterations": 18, "evaluations": 27, "ffts": 3192, "peak_memory_MiB": 500.0,
    }  # fmt: skip
    row = {
        "name": "Si2",
        "ours": ours,
        "pwx": None,
        "warm_seconds": 0.5,
        "warm_run_seconds": 0.4,
        "warm_cpu_seconds": 0.5,
        "warm_compilations": 0,
    }
    text = benchmark["vs_qe"].report([row])
    assert "Si2" in text and "12.0" in text and "3192" in text and "mark" not in text


@pytest.mark.parametrize("result", [silicon_result, aluminium_result])
def test_independent_check_of_a_minimum(benchmark, result):
    result = result()
    checked = benchmark["independent"].check(result)
    assert checked.free_energy == pytest.approx(float(result.energies.free), abs=1e-10)
    assert checked.error < 1e-10


def test_independent_check_sees_an_unfinished_run(benchmark):
    unfinished = dftopt.minimize(*silicon(), tol=1e-12, maxiter=4, progress=False)
    above = (float(unfinished.energies.free) - float(silicon_result().energies.free)) / 2
    assert above > 1e-6
    assert 0.3 * above < benchmark["independent"].check(unfinished).error < 10 * above
