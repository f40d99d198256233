import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dftopt.bases.transforms import box_maps, density_of_bands, local_product, to_grid


def sphere(shift, radius=3.1):
    """Integer points around `shift`, so that the box is not the same on both sides."""
    g = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return g[np.linalg.norm(g + shift, axis=1) < radius]


SPHERES = [sphere(np.zeros(3)), sphere(np.array([0.4, -0.5, 0.3]))]


@pytest.mark.parametrize("fft", [(13, 14, 15), (16, 13, 14)])
@pytest.mark.parametrize("k", [0, 1])
def test_against_plain_transforms(fft, k):
    """Orbitals, their density and the product with a potential, on grids of odd and even points."""
    rng = np.random.default_rng(k)
    n = len(SPHERES[k])
    npw = max(map(len, SPHERES)) + 3
    to_box, waves, from_box = box_maps(SPHERES, fft, npw)
    assert tuple(w.shape[1] for w in waves) == fft
    psi = np.zeros((3, npw), complex)
    psi[:, :n] = rng.normal(size=(3, n)) + 1j * rng.normal(size=(3, n))
    v, f = rng.normal(size=fft), rng.uniform(size=3)
    places = tuple((SPHERES[k] % fft).T)
    box = np.zeros((3, *fft), complex)
    box[:, *places] = psi[:, :n]
    plain = np.fft.ifftn(box, axes=(1, 2, 3)) * np.prod(fft)
    np.testing.assert_allclose(jax.jit(to_grid)(psi, to_box[k], waves), plain, atol=1e-12)
    rho = np.einsum("b,bxyz->xyz", f, np.abs(plain) ** 2)
    for block in (2, 8):
        density = jax.jit(density_of_bands, static_argnums=4)(psi, f, to_box[k], waves, block)
        np.testing.assert_allclose(density, rho, atol=1e-11)
        product = jax.jit(local_product, static_argnums=5)(psi, v, to_box[k], from_box[k], waves, block)[:, :n]
        np.testing.assert_allclose(product, np.fft.fftn(v * plain, axes=(1, 2, 3))[:, *places], atol=1e-11)


def test_the_product_is_the_gradient_of_the_plain_energy():
    """Half of it, and a Hessian-vector product through both."""
    rng = np.random.default_rng(2)
    fft, npw = (13, 14, 15), max(map(len, SPHERES))
    to_box, waves, from_box = box_maps(SPHERES, fft, npw)
    v = jnp.asarray(rng.normal(size=fft))
    mask = (np.arange(npw) < len(SPHERES[0])).astype(float)
    psi, d = ((rng.normal(size=(2, npw)) + 1j * rng.normal(size=(2, npw))) * mask for _ in range(2))
    energy = lambda p: jnp.sum(v * jnp.abs(to_grid(p, to_box[0], waves)) ** 2)
    product = jax.jit(lambda p: local_product(p, v, to_box[0], from_box[0], waves, 1) * mask)
    np.testing.assert_allclose(product(psi), 0.5 * jax.jit(jax.grad(energy))(psi).conj(), atol=1e-11)
    _, tangent = jax.jvp(product, (psi,), (d,))
    np.testing.assert_allclose(tangent, product(d), atol=1e-12)
    weight = rng.normal(size=(2, npw)) * mask
    pulled = jax.jit(jax.grad(lambda p: jnp.sum(product(p).real * weight)))(psi)
    np.testing.assert_allclose(pulled.conj(), product(weight.astype(complex)), atol=1e-11)  # it is Hermitian
