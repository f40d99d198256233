import numpy as np
import pytest
from systems import aluminium_result, silicon_result

import dftopt
from dftopt.errors import InputError


def test_integral_counts_the_states():
    for r in (silicon_result(), aluminium_result()):
        d = dftopt.dos(r)
        states = 2 * r.eigenvalues.shape[-1]
        assert d.values.shape == (1, 800) and np.all(d.values >= 0)
        assert d.integrated()[0, -1] == pytest.approx(states, rel=1e-6)
        assert np.all(np.diff(d.integrated()) >= 0)


def test_states_below_the_fermi_level_are_the_electrons():
    r = silicon_result()
    narrow = dftopt.dos(r, width=0.002, npoints=5000)
    below = lambda d, e: np.interp(e, d.energies, d.integrated()[0])
    assert below(narrow, r.fermi_level) == pytest.approx(8, abs=1e-6)  # the middle of the gap
    assert narrow.reference == pytest.approx(r.eigenvalues[..., 3].max())
    r = aluminium_result()
    d = dftopt.dos(r, width=0.01)  # about the temperature; eight k points are few
    assert d.reference == r.fermi_level
    assert below(d, r.fermi_level) == pytest.approx(3, abs=0.2)


def test_one_level_is_one_gaussian():
    r = silicon_result()
    width = 0.004
    d = dftopt.dos(r, energies=np.array([r.eigenvalues.min()]), width=width)
    w = r.weights[np.argmin(r.eigenvalues.min(axis=(0, 2)))]
    assert d.values[0, 0] == pytest.approx(2 * w / (np.sqrt(2 * np.pi) * width), rel=1e-6)
    assert d.width == width


def test_a_finer_mesh():
    r = silicon_result()
    same, own = dftopt.dos(r, kpts=(2, 2, 2), nbands=6), dftopt.dos(r)
    np.testing.assert_allclose(same.values, own.values, atol=1e-3)
    finer = dftopt.dos(r, kpts=(3, 3, 3), nbands=6)
    assert finer.integrated()[0, -1] == pytest.approx(12, rel=1e-6)
    assert np.abs(finer.values - own.values).max() > 1


@pytest.mark.parametrize(
    ("options", "words"), [({"width": 0}, "width"), ({"width": np.nan}, "width"), ({"kpts": (2, 2)}, "mesh")]
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(InputError, match=words):
        dftopt.dos(silicon_result(), **options)
