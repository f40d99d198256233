"""The examples of derivatives run, with small settings, and do what they say."""

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"


def run(name: str, monkeypatch) -> dict:
    monkeypatch.setenv("DFTOPT_SMALL", "1")
    return runpy.run_path(str(FOLDER / f"{name}.py"))


def test_a_strain_is_found_by_the_derivative_of_the_gap(monkeypatch):
    names = run("gap_by_strain", monkeypatch)
    assert abs(names["value"] - names["wanted"]) < 1e-7


@pytest.mark.slow
def test_the_derivative_along_a_path_between_elements(monkeypatch):
    assert max(run("alchemy", monkeypatch)["errors"]) < 1e-7
