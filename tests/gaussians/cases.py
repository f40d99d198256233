"""Molecules that the tests share: each new shape costs seconds of compilation."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from ase import Atoms

import dftopt

DATA = json.loads((Path(__file__).parents[1] / "references" / "pyscf_molecules.json").read_text())
CASES = {
    f"{c['molecule']}-{'fit' if c['density_fit'] else 'hot' if c['temperature'] else 'cold'}": c for c in DATA["cases"]
}


def atoms_of(name: str) -> Atoms:
    rows = [row.split() for row in DATA["geometries"][name].split(";")]
    return Atoms([r[0] for r in rows], positions=np.array([[float(x) for x in r[1:]] for r in rows]))


@lru_cache
def system(name: str):
    c = CASES[name]
    model = dftopt.Model(atoms_of(c["molecule"]), xc=c["xc"], spinpol=c["spin"] != 0)
    return model, dftopt.Gaussians(model, basis=c["basis"], grid=c["level"], density_fit=c["density_fit"])


@lru_cache
def result(name: str):
    c = CASES[name]
    options = {"magnetization": float(c["spin"])} if c["spin"] else {}
    return dftopt.minimize(*system(name), temperature=c["temperature"], tol=1e-12, progress=False, **options)
