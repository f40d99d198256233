import numpy as np
import pytest
from pyscf.pbc import gto
from pyscf.pbc.gto import pseudo
from scipy.integrate import quad
from scipy.special import gamma, spherical_jn

from dftopt.atoms import gth
from dftopt.energy import local, nonlocal_
from dftopt.energy.coulomb import coulomb_kernel
from dftopt.errors import InputError

ELEMENTS = [
    ("H", "GTH-PADE"),
    ("Si", "GTH-PADE"),
    ("Ga", "GTH-PBE"),
    ("Mo", "GTH-PBE"),
    ("W", "GTH-PBE"),
    ("Ce", "GTH-PBE-q12"),
]


@pytest.mark.parametrize(("element", "name"), ELEMENTS)
def test_local_part_matches_pyscf(element, name):
    p = gth.load(element, name)
    cell = gto.M(
        a=8 * np.eye(3),
        atom=f"{element} 0 0 0",
        pseudo={element: p.name},
        basis={element: [[0, [1.0, 1.0]]]},
        unit="B",
        spin=None,
        mesh=[9] * 3,
        verbose=0,
    )
    G = cell.get_Gv()
    G2 = np.sum(G**2, axis=1)
    ours = local.form_factor(G2, p.parameters(), coulomb_kernel(G2))
    theirs = -pseudo.get_vlocG(cell, G)[0]
    np.testing.assert_allclose(ours[1:], theirs[1:], rtol=1e-12, atol=1e-12)
    assert float(local.alpha(p.parameters())) == pytest.approx(float(theirs[0]), rel=1e-12)


@pytest.mark.parametrize("l", [0, 1, 2, 3])
@pytest.mark.parametrize("i", [1, 2, 3])
def test_radial_transform_is_the_bessel_integral(l, i):
    r0 = 0.6
    n = l + (4 * i - 1) / 2
    p = lambda r: np.sqrt(2) * r ** (l + 2 * (i - 1)) * np.exp(-(r**2) / (2 * r0**2)) / (r0**n * np.sqrt(gamma(n)))
    assert quad(lambda r: (r * p(r)) ** 2, 0, 12)[0] == pytest.approx(1, rel=1e-10)  # normalized, as the papers say
    for q in (0.3, 1.7, 4.0):
        integrand = lambda r, q=q: 4 * np.pi * r**2 * spherical_jn(l, q * r) * p(r)
        exact = quad(integrand, 0, 12, epsabs=1e-14, epsrel=1e-13, limit=300)[0]
        assert float(nonlocal_.radial(l, i, np.array(q**2), r0)) * q**l == pytest.approx(exact, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("l", [0, 1, 2, 3])
def test_solid_harmonics_are_orthonormal(l):
    x, w = np.polynomial.legendre.leggauss(12)
    phi = np.arange(24) * 2 * np.pi / 24
    s = np.sqrt(1 - x**2)
    q = np.stack([s[:, None] * np.cos(phi), s[:, None] * np.sin(phi), np.broadcast_to(x[:, None], (12, 24))], axis=-1)
    y = np.asarray(nonlocal_.solid_harmonics(l, q))
    o = np.einsum("ajp,bjp,j->ab", y, y, w) * 2 * np.pi / 24
    np.testing.assert_allclose(o, np.eye(2 * l + 1), atol=1e-13)


def test_coupling_is_block_diagonal_in_m():
    p = gth.load("Si", "GTH-PADE")
    d = np.asarray(nonlocal_.species_coupling(p.layout, p.parameters()))
    assert d.shape == (5, 5)
    np.testing.assert_allclose(d[:2, :2], p.channels[0].h)
    np.testing.assert_allclose(np.diag(d)[2:], p.channels[1].h[0][0])
    assert np.count_nonzero(d) == 4 + 3


def test_the_whole_table_is_read():
    entries = {id(e): e for e in gth.table().values()}.values()
    assert len(entries) > 400
    for e in entries:
        assert e.charge > 0 and e.rloc > 0 and all(c.r > 0 and 0 <= c.l <= 3 for c in e.channels)


def test_recommended_valence():
    assert gth.load("Ga", "GTH-PBE").name == "GTH-PBE-q13"
    assert gth.load("U", "GTH-PBE").charge == 14


@pytest.mark.parametrize(
    ("element", "name", "words"),
    [("Og", "GTH-PBE", "covers H He"), ("Si", "GTH-PBE-q5", "GTH-PBE-q4"), ("Si", "nonsense", "GTH-PADE-q4")],
)
def test_missing_potentials_list_what_there_is(element, name, words):
    with pytest.raises(InputError, match=words):
        gth.load(element, name)


def test_truncated_entry_names_its_place():
    with pytest.raises(InputError, match="file.dat, line 3"):
        gth.parse_entry(["Si GTH-PADE-q4", "2 2", "0.44 1 -7.3", "2", "0.42 2 5.9"], "file.dat, line 3")
