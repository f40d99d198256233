import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import aluminium_result, silicon_result

import dftopt
from dftopt.bases.planewaves import PAD
from dftopt.bases.transforms import box_maps
from dftopt.energy.free_energy import h_psi
from dftopt.energy.prepared import fractional_kG, key_of, prepare_orbitals, sphere_mask
from dftopt.errors import InputError, NotConverged
from dftopt.properties.bands import reference_level
from dftopt.units import HARTREE_IN_EV

L, G, X = np.array([0.5, 0.5, 0.5]), np.zeros(3), np.array([0.5, 0.0, 0.5])
LINE = np.concatenate([np.linspace(L, G, 5), np.linspace(G, X, 6)[1:]])  # bands cross and are degenerate on it


@pytest.fixture(scope="module")
def line():
    return dftopt.eigenvalues_at(silicon_result(), LINE, nbands=8)


def dense_eigenvalues(result, kpts):
    """All eigenvalues at each k, from the matrix that applying H to unit vectors gives."""
    model, basis = result.model, result.basis
    spheres = basis.spheres_at(kpts)
    npw = -(-max(len(s) for s in spheres) // PAD) * PAD
    to_box, waves, _ = box_maps(spheres, basis.fft, npw)
    arrays = {
        "cell": model.structure.cell,
        "kG": fractional_kG(kpts, spheres, npw),
        "mask": sphere_mask(spheres, npw),
        "to_box": to_box,
        "waves": waves,
    }
    orbitals = prepare_orbitals(model.inputs(), arrays, key_of(model, basis))
    matrix = jax.jit(lambda i: h_psi(jnp.eye(npw, dtype=complex), result.potential[0], orbitals, i, 8))
    out = []
    for i, s in enumerate(spheres):
        H = np.asarray(matrix(i)).T[: len(s), : len(s)]
        np.testing.assert_allclose(H, H.conj().T, atol=1e-12)
        out.append(np.linalg.eigvalsh(H))
    return out


@pytest.mark.parametrize("result", [silicon_result, aluminium_result], ids=["silicon", "aluminium"])
def test_bands_at_mesh_points_are_the_eigenvalues(result):
    r = result()
    n = r.eigenvalues.shape[-1]
    np.testing.assert_allclose(dftopt.eigenvalues_at(r, r.kpoints, nbands=n), r.eigenvalues, atol=1e-7)


def test_no_band_is_missed_along_a_symmetry_line(line):
    exact = np.array([e[:8] for e in dense_eigenvalues(silicon_result(), LINE)])
    print(f"{np.abs(line[0] - exact).max():.1e}")
    np.testing.assert_allclose(line[0], exact, atol=1e-7)


def test_bands_do_not_depend_on_the_order_of_points(line):
    order = np.random.default_rng(0).permutation(len(LINE))  # neighbours in the list are no longer near
    shuffled = dftopt.eigenvalues_at(silicon_result(), LINE[order], nbands=8)
    np.testing.assert_allclose(shuffled[0], line[0, order], atol=1e-7)


def test_bands_along_a_path():
    r = silicon_result()
    path = r.model.atoms.cell.bandpath("LGX", npoints=len(LINE))
    bands = dftopt.bands(r, path, nbands=8)
    np.testing.assert_allclose(bands.energies, dftopt.eigenvalues_at(r, path.kpts, nbands=8) * HARTREE_IN_EV)
    assert bands.reference == pytest.approx(r.eigenvalues[..., 3].max() * HARTREE_IN_EV)
    again = dftopt.bands(r, "LGX", npoints=len(LINE), nbands=8)
    np.testing.assert_array_equal(again.energies, bands.energies)
    np.testing.assert_array_equal(again.path.kpts, path.kpts)


def test_reference_level_of_a_metal_is_the_fermi_level():
    assert reference_level(aluminium_result()) == aluminium_result().fermi_level


@pytest.mark.parametrize(
    ("kpts", "nbands", "words"),
    [
        ([0, 0, 0], None, "shape"),
        ([[0, 0]], None, "shape"),
        (np.zeros((0, 3)), None, "shape"),
        ([[0, 0, np.nan]], None, "finite"),
        ([[0, 0, 0]], 0, "nbands = 0"),
        ([[0, 0, 0]], 10**4, "bands exist"),
    ],
)
def test_wrong_points_and_bands_are_named(kpts, nbands, words):
    with pytest.raises(InputError, match=words):
        dftopt.eigenvalues_at(silicon_result(), kpts, nbands)


def test_a_special_point_that_the_lattice_lacks_is_named():
    with pytest.raises(InputError, match="path = 'GZ'.*special points are"):
        dftopt.bands(silicon_result(), "GZ")


def test_unconverged_results_are_refused():
    from systems import silicon

    r = dftopt.minimize(*silicon(), tol=1e-12, maxiter=1, progress=False)
    for quantity in (dftopt.bands, dftopt.dos):
        with pytest.raises(NotConverged, match="did not converge"):
            quantity(r)
