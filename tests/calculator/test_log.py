import io
import sys

import numpy as np
import pytest
from ase.build import bulk

from dftopt.calculator import log, report
from dftopt.calculator.setup import build
from dftopt.errors import InputError
from dftopt.minimization.forecast import forecast
from dftopt.minimization.loop import Step


def test_log_goes_to_streams_files_and_the_terminal(tmp_path, capsys):
    stream = io.StringIO()
    out = log.Log("-", None, tmp_path / "log.txt", stream)
    out("one")
    assert (tmp_path / "log.txt").read_text() == "one\n"  # flushed while open
    out.close()
    assert stream.getvalue() == capsys.readouterr().out == "one\n"
    assert not stream.closed and not sys.stdout.closed


def test_log_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        log.Log(tmp_path / "missing" / "log.txt")


def test_iteration_table_has_a_row_for_each_accepted_iteration_per_atom():
    stream = io.StringIO()
    table = log.IterationTable(log.Log(stream), natoms=2)
    table(Step(2, 3, -7.5, 4e-6, ((-7.4, 4e-4), (-7.5, 4e-6))))
    table(Step(2, 5, -7.5, 4e-6))  # nothing accepted
    table(Step(3, 6, -7.6, 4e-8, ((-7.6, 4e-8),)))
    head, *rows = (line.split() for line in stream.getvalue().splitlines())
    assert "(Ha/atom)" in head
    assert [row[:3] for row in rows] == [
        ["1", "-7.4000000000", "2.0e-04"],
        ["2", "-7.5000000000", "2.0e-06"],
        ["3", "-7.6000000000", "2.0e-08"],
    ]


def test_iteration_table_of_a_minimizer_that_reports_only_where_it_is():
    stream = io.StringIO()
    table = log.IterationTable(log.Log(stream), natoms=2)
    table(Step(7, 7, -7.5, 4e-6))
    table(Step(9, 9, -7.6, 4e-8))
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["iteration", "7", "9"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (89, "89.0 s"), (91, "1.5 minutes"), (7200, "2.0 hours"), (4e5, "4.6 days")]
)
def test_durations(seconds, text):
    assert log.duration(seconds) == text


def test_header_of_explicit_points_and_broken_symmetry():
    text = log.header(build(bulk("Si"), {"ecut": 150, "kpts": [[0, 0, 0], [0.5, 0, 0]], "weights": [0.5, 0.5]}))
    assert "2, as given" in text and "1 of them map the k points" in text
    text = log.header(build(bulk("Si"), {"ecut": 150, "kpts": {"size": (2, 2, 1), "gamma": False}}))
    assert "2x2x1, shifted by (0.5, 0.5, 0.5) steps" in text


def test_forecast_grows_with_bands_and_points():
    small, large = (build(bulk("Si"), {"ecut": 150, "kpts": (n, n, n), "symmetry": False}) for n in (1, 4))
    few, many = forecast(small.model, small.basis), forecast(large.model, large.basis)
    assert many["seconds"] == pytest.approx(64 * few["seconds"])
    assert many["memory_gib"] > few["memory_gib"]
    assert forecast(small.model, small.basis, 16)["seconds"] == pytest.approx(
        2 * forecast(small.model, small.basis, 8)["seconds"]
    )


def test_plain_values_are_what_json_knows():
    data = report.plain(
        {"a": np.arange(2), 1: (np.float64(0.5), float("nan")), "c": None, "d": object(), "e": np.bool_(True)}
    )
    assert data == {"a": [0, 1], "1": [0.5, None], "c": None, "d": "object", "e": True}
