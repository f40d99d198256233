"""The examples of derivatives run, with small settings, and do what they say."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
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


@pytest.mark.slow
def test_a_functional_is_fitted_to_solids(monkeypatch):
    names = run("fit_functional", monkeypatch)
    assert np.abs(names["x"] - names["HIDDEN"]).max() < 1e-5  # the functional that made the data
    residuals, x, h = names["residuals"], names["PBE"], 1e-3
    direction = jnp.array([0.3, 1.0])
    _, exact = jax.jvp(residuals, (x,), (direction,))
    at = lambda t: np.asarray(residuals(x + t * direction))
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    assert np.abs(exact - numeric).max() < 1e-6 * np.abs(numeric).max()


@pytest.mark.slow
def test_error_bars_come_from_one_reverse_pass(monkeypatch):
    names = run("error_bars", monkeypatch)
    p, gradient, h = names["parameters"], names["gradient"], 2e-3

    def at(t):
        potential = {**p["pseudopotentials"]["Ge"], "rloc": p["pseudopotentials"]["Ge"]["rloc"] + t}
        exchange = {**p["xc"]["gga_x_pbe"], "kappa": p["xc"]["gga_x_pbe"]["kappa"] + t}
        changed = {**p["pseudopotentials"], "Ge": potential}
        return float(names["formation_energy"]({"pseudopotentials": changed, "xc": {**p["xc"], "gga_x_pbe": exchange}}))

    exact = gradient["pseudopotentials"]["Ge"]["rloc"] + gradient["xc"]["gga_x_pbe"]["kappa"]
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    assert float(exact) == pytest.approx(numeric, rel=1e-6)
    assert 0 < names["error"] < 0.1 * abs(names["value"])
