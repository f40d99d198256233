import numpy as np
import pytest
from systems import aluminium_result, silicon, silicon_result

import dftopt
from dftopt.atoms import kpoints
from dftopt.errors import InputError, NotConverged
from dftopt.properties.bands import states_at
from dftopt.properties.fermi_surface import fermi_surface
from dftopt.properties.pdos import fat_bands, pdos
from dftopt.properties.projections import loewdin_charges, projections
from dftopt.properties.volumetric_files import write_fermi_surface
from dftopt.units import HARTREE_IN_EV

MESH = (3, 3, 3)


def test_parts_add_up_to_the_total_less_what_is_spilled():
    r = silicon_result()
    d, total = pdos(r), dftopt.dos(r)
    assert list(d.parts) == ["Si s", "Si p"]
    np.testing.assert_allclose(d.values, total.values)
    p = projections(r)
    spilled = 2 * np.einsum("k,skb,skb", p.k_weights, p.spilled, np.ones(p.spilled.shape))
    integral = lambda y: np.trapezoid(y, d.energies)
    assert integral(d.values[0] - sum(d.parts.values())[0]) == pytest.approx(spilled, rel=1e-6)
    assert np.all(sum(d.parts.values()) <= d.values * (1 + 1e-12))


def test_parts_below_the_gap_are_the_charges():
    r = silicon_result()
    d = pdos(r, by="atom l", width=0.002, npoints=5000)
    charges = loewdin_charges(r)
    inside = d.energies < r.fermi_level
    for name, values in d.parts.items():
        atom, l = int(name.split()[0][2:]), "sp".index(name.split()[1])
        electrons = np.trapezoid(values[0, inside], d.energies[inside])
        assert electrons == pytest.approx(charges.populations[0, atom, l], abs=1e-4)


@pytest.mark.parametrize("by", ["element l", "atom m"])
def test_tetrahedra_on_a_finer_mesh(by):
    r = silicon_result()
    d = pdos(r, by=by, kpts=MESH, nbands=6, method="tetrahedron", npoints=3000)
    total = dftopt.dos(r, kpts=MESH, nbands=6, method="tetrahedron", energies=d.energies)
    np.testing.assert_allclose(d.values, total.values, rtol=1e-9)
    assert d.width == 0
    in_gap = np.searchsorted(d.energies, r.fermi_level)
    assert d.integrated()[0, in_gap] == pytest.approx(8, abs=0.01)
    assert d.values[0, in_gap] == 0
    p = sum(v[0] for v in d.parts.values())
    assert np.all(p <= d.values[0] * (1 + 1e-9))
    if by == "atom m":
        np.testing.assert_allclose(d.parts["Si0 x"], d.parts["Si1 y"], atol=1e-3)


def test_fat_bands_are_the_projections_at_each_point():
    r = silicon_result()
    fat = fat_bands(r, "LGX", npoints=5, nbands=6)
    bands = dftopt.bands(r, "LGX", npoints=5, nbands=6)
    np.testing.assert_allclose(fat.bands.energies, bands.energies, atol=1e-6)
    assert fat.bands.reference == bands.reference
    np.testing.assert_allclose(sum(fat.weights.values()) + fat.spilled, 1, atol=1e-12)
    at_gamma = np.flatnonzero(np.abs(fat.bands.path.kpts).sum(axis=1) < 1e-12)[0]
    assert fat.weights["Si s"][0, at_gamma, 0] > 0.97  # the bottom is s, the threefold top p
    np.testing.assert_allclose(fat.weights["Si s"][0, at_gamma, 1:4], 0, atol=1e-6)
    assert np.all(fat.weights["Si p"][0, at_gamma, 1:4] > 0.9)


def test_states_at_given_points_are_eigenstates_of_the_mesh():
    r = silicon_result()
    states = states_at(r, r.kpoints, nbands=5)
    np.testing.assert_allclose(states.eigenvalues[..., :4], r.eigenvalues[..., :4], atol=1e-7)
    overlap = np.abs(np.einsum("bp,cp->bc", np.asarray(states.psi[0, 1, :4]).conj(), np.asarray(r.psi[0, 1, :4])))
    np.testing.assert_allclose((overlap**2).sum(axis=1), 1, atol=1e-6)


def test_unfolding_a_reduced_mesh():
    r = aluminium_result()
    points = r.basis.kpoints
    index = kpoints.unfold(points)
    assert index.shape == points.size and set(index.ravel()) == set(range(len(points)))
    np.testing.assert_allclose(np.bincount(index.ravel()) / index.size, points.weights)
    i, j, l = 1, 0, 1
    e = dftopt.eigenvalues_at(r, [[i / 2, j / 2, l / 2]], nbands=4)[0, 0]
    np.testing.assert_allclose(r.eigenvalues[0, index[i, j, l], :4], e, atol=1e-6)
    explicit = kpoints.explicit([[0, 0, 0]], [1], 1)
    with pytest.raises(InputError, match="needs a mesh"):
        kpoints.unfold(explicit)


def read_bxsf(path):
    """An independent reader: the format's keywords, then numbers in C order."""
    words = path.read_text().split()
    fermi = float(words[words.index("Energy:") + 1])
    at = words.index("BEGIN_BANDGRID_3D_bands") + 1
    nbands, *shape = (int(x) for x in words[at : at + 4])
    numbers = [float(x) for x in words[at + 4 : at + 16]]
    origin, vectors = numbers[:3], np.reshape(numbers[3:], (3, 3))
    at, bands = at + 16, {}
    for _ in range(nbands):
        assert words[at] == "BAND:"
        count = int(np.prod(shape))
        bands[int(words[at + 1])] = np.array([float(x) for x in words[at + 2 : at + 2 + count]]).reshape(shape)
        at += 2 + count
    assert words[at : at + 2] == ["END_BANDGRID_3D", "END_BLOCK_BANDGRID_3D"] and len(words) == at + 2
    return fermi, origin, vectors, bands


def test_fermi_surface_reads_back(tmp_path):
    r = aluminium_result()
    surface = fermi_surface(r, kpts=(4, 3, 2), nbands=5)
    assert surface.levels.shape == (1, 4, 3, 2, 5)
    path = write_fermi_surface(tmp_path / "al.bxsf", surface)
    fermi, origin, vectors, bands = read_bxsf(path)
    assert fermi == pytest.approx(r.fermi_level * HARTREE_IN_EV, abs=1e-8) and origin == [0, 0, 0]
    np.testing.assert_allclose(r.model.atoms.cell.array @ vectors.T, 2 * np.pi * np.eye(3), atol=1e-8)
    assert sorted(bands) == [b + 1 for b in surface.crossing()]
    for band, values in bands.items():
        assert values.shape == (5, 4, 3)
        for axis in range(3):
            np.testing.assert_array_equal(values.take(-1, axis), values.take(0, axis))
        k = np.array([[3 / 4, 1 / 3, 1 / 2]])
        e = dftopt.eigenvalues_at(r, k, nbands=5)[0, 0, band - 1] * HARTREE_IN_EV
        assert values[3, 1, 1] == pytest.approx(e, abs=1e-5)
        assert values.min() < fermi < values.max()


def test_wrong_requests_are_named(tmp_path):
    r = silicon_result()
    calls = [
        (lambda: pdos(r, by="spd"), "by = 'spd'"),
        (lambda: fat_bands(r, by=""), "by = ''"),
        (lambda: pdos(r, method="cubes"), "method = 'cubes'"),
        (lambda: pdos(r, width=-1), "width"),
        (lambda: dftopt.dos(r, method="tetrahedron", width=0.01), "tetrahedra have none"),
        (lambda: pdos(r, kpts=(1, 1, 1), method="tetrahedron", nbands=5), "there is one"),
        (lambda: write_fermi_surface(tmp_path / "si.bxsf", fermi_surface(r)), "no band crosses"),
        (lambda: write_fermi_surface(tmp_path / "si.cube", fermi_surface(r)), "bxsf"),
    ]
    for call, words in calls:
        with pytest.raises(InputError, match=words):
            call()
    unfinished = dftopt.minimize(*silicon(), tol=1e-12, maxiter=1, progress=False)
    for call in (pdos, fat_bands, fermi_surface):
        with pytest.raises(NotConverged):
            call(unfinished)
