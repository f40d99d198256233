import json

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from dftopt.calculator import style
from dftopt.errors import InputError


def test_a_picture_has_its_numbers_beside_it(tmp_path):
    x = np.array([0.1, 0.2, 1 / 3])
    with style.drawing():
        figure, axis = style.figure()
        axis.plot(x, x)
        files = style.save(figure, tmp_path / "line.png", columns={"n": [1, 2, 3], "x_bohr": x}, data={"x": x})
    assert [f.name for f in files] == ["line.png", "line.csv", "line.json"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_text().splitlines()[:2] == ["n,x_bohr", "1,0.1"]
    np.testing.assert_allclose(np.loadtxt(files[1], delimiter=",", skiprows=1)[:, 1], x, rtol=1e-11)
    np.testing.assert_allclose(json.loads(files[2].read_text())["x"], x)


@pytest.mark.parametrize(("suffix", "magic"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_vector_formats_keep_text_as_text(tmp_path, suffix, magic):
    with style.drawing():
        figure, axis = style.figure()
        axis.set_xlabel("wavelength")
        (path,) = style.save(figure, tmp_path / f"empty.{suffix}")
    assert path.read_bytes().startswith(magic)
    if suffix == "svg":
        assert "wavelength" in path.read_text()


def test_an_unknown_format_is_named(tmp_path):
    with style.drawing(), pytest.raises(InputError, match="suffix"):
        style.save(style.figure()[0], tmp_path / "picture.xyz")


def test_settings_of_the_user_come_back():
    before = dict(matplotlib.rcParams)
    with style.drawing():
        assert matplotlib.rcParams["axes.spines.top"] is False
    assert dict(matplotlib.rcParams) == before


def test_neighbouring_series_differ_in_grey():
    luminance = [np.dot([0.2126, 0.7152, 0.0722], to_rgb(c)) for c in style.COLOURS]
    print(np.round(luminance, 2))
    assert len(style.LINES) == len(style.MARKERS) == len(style.COLOURS)
    assert min(luminance[i] - luminance[j] for i, j in [(3, 0), (3, 1), (5, 0)]) > 0.1


@pytest.mark.parametrize(("name", "label"), [("G", "Γ"), ("X", "X"), ("X1", "X$_{1}$")])
def test_special_points(name, label):
    assert style.special_point(name) == label
