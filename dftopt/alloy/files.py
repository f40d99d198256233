"""One readable file for an expansion."""

import json
from pathlib import Path

import numpy as np
from ase import Atoms

from dftopt.alloy.parent import Parent
from dftopt.errors import InputError

FORMAT = "dftopt cluster expansion 1"


def save(ce, path) -> None:
    """Write the expansion as JSON: the coefficients by name, in eV per site."""
    deviations = ce.uncertainties
    lines = {
        "format": FORMAT,
        "species": list(ce.species),
        "parent": {"cell_angstrom": ce.parent.cell.tolist(), "sites_fractional": ce.parent.basis.tolist()},
        "cutoffs_angstrom": list(ce.cutoffs),
        "cv_rmse_eV_per_atom": _number(ce.cv_rmse),
        "rmse_eV_per_atom": _number(ce.rmse),
        "method": ce.method,
        "coefficients_eV_per_site": dict(zip(ce.names, ce.coefficients.tolist(), strict=True)),
        "standard_deviations_eV_per_site": dict(zip(ce.names, deviations.tolist(), strict=True)),
        "aliases": [list(a) for a in ce.aliases],
        "undetermined": list(ce.undetermined),
        "training": {name: np.asarray(values).tolist() for name, values in ce.training.items()},
        "covariance_eV2": ce.covariance.tolist(),
    }
    body = ",\n".join(f"{json.dumps(key)}: {_pretty(value)}" for key, value in lines.items())
    Path(path).write_text("{\n" + body + "\n}\n", encoding="utf-8")


def load(path) -> dict:
    """Arguments of `ClusterExpansion` from a file.

    Raises:
        InputError: it cannot be read, or is of another kind.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise KeyError("format")
        parent = Parent.of(
            Atoms(
                ["X"] * len(data["parent"]["sites_fractional"]),
                cell=data["parent"]["cell_angstrom"],
                scaled_positions=data["parent"]["sites_fractional"],
                pbc=True,
            )
        )
        return {
            "parent": parent,
            "species": tuple(data["species"]),
            "cutoffs": tuple(data["cutoffs_angstrom"]),
            "coefficients": np.array(list(data["coefficients_eV_per_site"].values())),
            "covariance": np.array(data["covariance_eV2"]),
            "cv_rmse": _nan(data["cv_rmse_eV_per_atom"]),
            "rmse": _nan(data["rmse_eV_per_atom"]),
            "method": data["method"],
            "aliases": tuple(tuple(a) for a in data["aliases"]),
            "undetermined": tuple(data["undetermined"]),
            "training": {name: np.array(values) for name, values in data["training"].items()},
        }
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}.") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no cluster expansion of dftopt ({type(error).__name__}: {error}).") from None


def _pretty(value) -> str:
    """Dictionaries and tables with one entry per line."""
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n}"
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "[\n" + ",\n".join(f"  {json.dumps(v)}" for v in value) + "\n]"
    return json.dumps(value)


def _number(x):
    return float(x) if np.isfinite(x) else None


def _nan(x):
    return float("nan") if x is None else float(x)
