"""Every notebook runs from top to bottom."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path):
    names: dict = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}, {cell['id']}", "exec"), names)
    plt.close("all")
    assert names["spread"] < 1e-8
    assert max(r.diagonality for r in names["runs"].values()) < 1e-5
    assert names["sizes"][-1] < 1e-3 * names["sizes"][0]
