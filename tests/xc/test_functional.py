from functools import partial

import jax
import numpy as np
import pytest
from densities import UNIFORM_GAS, energy_density, evaluated, kinetic, random_density, squared

from dftopt.errors import InputError
from dftopt.xc import Functional, functional
from dftopt.xc.functional import NAMED, TERMS

EXCHANGE = [name for name in TERMS if "_x" in name and "_xc" not in name]

SECOND_BY_DEFAULT = [("LDA", 1), ("PBE", 2), ("SCAN", 1)]  # a compilation each, of seconds
SECOND = [
    *("LDA", "lda_xc_teter93+lda_c_vwn+lda_c_vwn_rpa+lda_c_pz", "PBE", "PW91", "BLYP", "gga_x_rpbe+gga_x_wc+gga_c_p86"),
    *("TPSS", "SCAN", "r2SCAN"),
]

# total density or (up, down); sigma or (uu, ud, dd)
EDGES_UNPOLARIZED = [
    (0, 0), (0, 1e-20), (0, 1), (-1e-12, 0), (-1e-3, 1e-4), (1e-15, 1e-30), (1.1e-15, 1), (1e-300, 0), (1e-14, 0),
    (1e-12, 1e-12), (0.1, 0), (0.1, 1e-300), (0.1, -1e-20), (1e4, 1e12), (1e6, 0),
]  # fmt: skip
EDGES_POLARIZED = [
    (0, 0, 0, 0, 0), (0, 0, 1e-20, 0, 1e-20), (0.1, 0, 0, 0, 0), (0, 0.1, 0, 0, 0.3), (0.1, 0, 0.2, 0, 0),
    (0.1, -1e-9, 0.2, 1e-9, 1e-9), (-1e-12, -1e-12, 0, 0, 0), (-0.1, 0.2, 0.1, 0.1, 0.1), (1e-16, 0, 1, 0, 0),
    (1.1e-15, 0, 1, 0, 0), (0.1, 1e-17, 0.2, 0, 1e-30), (0.1, 1e-14, 0.2, 1e-8, 1e-16), (0.1, 0.1, 0, 0, 0),
    (0.1, 0.1, 1, -1, 1), (1e-15, 1e-15, 1, 1, 1), (1e4, 1e-12, 1, 0, 1e-20), (1e4, 1e4, 0, 0, 0),
    (2e-15, 0, 1e-12, 0, 0), (0, 2e-15, 0, 0, 1e-40), (0.1, 2e-15, 0, 0, 0), (0.1, 1e-15, 1, 1, 1),
]  # fmt: skip

TAUS_UNPOLARIZED = [[0], [-1e-12], [1e-30], [1e-8], [0.3], [1e3]]
TAUS_POLARIZED = [[0, 0], [0, 0.3], [0.3, 0], [-1e-12, 1e-20], [1e-20, 0.3], [0.1, 0.3], [1e3, 1e3]]

ORDINARY_UNPOLARIZED = [0.02, 5.6e-4, 5.2e-3]  # s^2 = 0.5, alpha = 0.4
ORDINARY_POLARIZED = [0.015, 0.008, 4e-4, 1.2e-4, 1e-4, 5.4e-3, 2e-3]


# as users' programs are compiled: without LLVM's passes, which other tests leave out, SCAN has 0 * inf at one of the edges
OPTIMIZED = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}


@partial(jax.jit, static_argnums=(0, 1), compiler_options=OPTIMIZED)
def derivatives(xc, spin, points):
    """Energy, gradient and Hessians (forward over reverse, reverse over reverse) in (rho_s, sigma, tau_s) per point."""

    def energy(x):
        return xc.energy_density(x[:spin, None], x[spin : 3 * spin - 1, None], x[3 * spin - 1 :, None])[0]

    slope = jax.grad(energy)
    return jax.vmap(lambda x: (energy(x), slope(x), jax.jacfwd(slope)(x), jax.jacrev(slope)(x)))(points)


@pytest.mark.parametrize(
    ("name", "spin"),
    [
        pytest.param(name, spin, marks=() if (name, spin) in SECOND_BY_DEFAULT else pytest.mark.slow)
        for name in SECOND
        for spin in (1, 2)
    ],
)
def test_two_derivatives(name, spin):
    """Finite everywhere; at ordinary points the two ways to the Hessian agree with differences of the gradient."""
    xc = functional(name)
    edges = np.array(EDGES_UNPOLARIZED if spin == 1 else EDGES_POLARIZED, dtype=float)
    taus = TAUS_UNPOLARIZED if spin == 1 else TAUS_POLARIZED
    if xc.kind == "mgga":
        edges = np.concatenate([np.repeat(edges, len(taus), axis=0), np.tile(taus, (len(edges), 1))], axis=1)
    assert all(np.isfinite(values).all() for values in derivatives(xc, spin, edges))

    x = np.array(ORDINARY_UNPOLARIZED if spin == 1 else ORDINARY_POLARIZED)[: edges.shape[1]]
    h = 1e-3 * np.abs(x)
    points = np.stack([x, *(x + k * step for step in np.diag(h) for k in (-2, -1, 1, 2))])
    points = np.concatenate([points, np.tile(x, (len(edges), 1))])  # one compilation for both
    _, slopes, forward, reverse = (np.asarray(values) for values in derivatives(xc, spin, points[: len(edges)]))
    diagonal = np.abs(np.diag(forward[0]))
    scale = np.maximum(np.sqrt(np.outer(diagonal, diagonal)), np.abs(forward[0]))
    assert np.all(np.abs(reverse[0] - forward[0]) <= 1e-12 * scale)
    s = slopes[1 : 1 + 4 * len(x)].reshape(len(x), 4, len(x))
    numeric = (s[:, 0] - 8 * s[:, 1] + 8 * s[:, 2] - s[:, 3]) / (12 * h[:, None])
    noise = 1e-13 * np.abs(slopes[0]) / h[:, None]
    assert np.all(np.abs(numeric - forward[0]) <= 1e-9 * scale + noise)


@pytest.mark.parametrize("spin", [1, 2])
@pytest.mark.parametrize("name", TERMS)
def test_nothing_below_the_threshold(name, spin):
    rho_s, gradients = random_density(spin)
    sigma, tau_s = np.abs(squared(gradients)), kinetic(rho_s, gradients) + 1.0
    rho_s[:, :3] = [[0.0, 1e-15, -1.0]] if spin == 1 else [[0.0, 5e-16, -1.0], [0.0, 5e-16, 0.0]]
    energy, *slopes = evaluated(functional(name), rho_s, sigma, tau_s)
    assert not energy[:3].any() and energy[3:].any()
    assert all(np.isfinite(slope).all() and not slope[:, :3].any() for slope in slopes)


@pytest.mark.parametrize("name", TERMS)
def test_unpolarized_equals_two_equal_channels(name):
    xc = functional(name)
    rho_s, gradients = random_density(1)
    sigma, tau_s = squared(gradients), kinetic(rho_s, gradients)
    one = evaluated(xc, rho_s, sigma, tau_s)
    two = evaluated(xc, *(np.concatenate(x) for x in ([rho_s / 2] * 2, [sigma / 4] * 3, [tau_s / 2] * 2)))
    gradient = np.abs(sigma * one[2])[0]  # the gradient correction of LYP and P86 may cancel the uniform gas
    kinetic_part = np.abs(tau_s * one[3])[0]
    assert np.all(np.abs(two[0] - one[0]) <= 1e-13 * (np.abs(one[0]) + gradient))
    assert np.all(np.abs(two[1] - one[1]) <= 1e-12 * (np.abs(one[1]) + (gradient + kinetic_part) / rho_s))
    # de/dsigma = (uu + ud + dd) / 4 along sigma_uu = sigma_ud = sigma_dd = sigma / 4
    scale = np.sum(np.abs(two[2]), axis=0) + kinetic_part / sigma[0]
    assert np.all(np.abs(two[2].sum(axis=0) / 4 - one[2][0]) <= 1e-12 * scale)
    assert np.all(np.abs(two[3] - one[3]) <= 1e-12 * (np.abs(one[3]) + np.abs(one[0]) / tau_s))


@pytest.mark.parametrize("name", TERMS)
def test_swapping_the_spins_changes_nothing(name):
    xc = functional(name)
    rho_s, gradients = random_density(2)
    sigma, tau_s = squared(gradients), kinetic(rho_s, gradients)
    energy, _, v_sigma, _ = evaluated(xc, rho_s, sigma, tau_s)
    swapped = evaluated(xc, rho_s[::-1], sigma[::-1], tau_s[::-1])[0]
    assert np.all(np.abs(swapped - energy) <= 1e-13 * (np.abs(energy) + np.sum(np.abs(sigma * v_sigma), axis=0)))


@pytest.mark.parametrize("name", EXCHANGE)
def test_spin_scaling_of_exchange(name):
    xc = functional(name)
    rho_s, gradients = random_density(2)
    sigma, tau_s = squared(gradients), kinetic(rho_s, gradients)
    halves = [evaluated(xc, 2 * rho_s[[i]], 4 * sigma[[2 * i]], 2 * tau_s[[i]])[0] / 2 for i in range(2)]
    np.testing.assert_allclose(evaluated(xc, rho_s, sigma, tau_s)[0], halves[0] + halves[1], rtol=1e-15)


@pytest.mark.parametrize("name", EXCHANGE)
def test_uniform_scaling_of_exchange(name):
    """E_x[n_gamma] = gamma E_x[n]: the energy per volume scales by gamma^4."""
    xc = functional(name)
    rho_s, gradients = random_density(2)
    sigma, tau_s, gamma = squared(gradients), kinetic(rho_s, gradients), 1.7
    scaled = evaluated(xc, gamma**3 * rho_s, gamma**8 * sigma, gamma**5 * tau_s)[0]
    np.testing.assert_allclose(scaled, gamma**4 * evaluated(xc, rho_s, sigma, tau_s)[0], rtol=1e-13)


@pytest.mark.parametrize("spin", [1, 2])
@pytest.mark.parametrize("name", [name for name in TERMS if "gga" in name and name != "gga_c_lyp"])
def test_uniform_gas_limit(name, spin):
    """No gradient and the kinetic energy density of the uniform gas."""
    rho_s, gradients = random_density(spin)
    variables = rho_s, 0 * squared(gradients), kinetic(rho_s, 0 * gradients, lowest=1.0, highest=1.0)
    value = evaluated(functional(name), *variables)
    uniform = evaluated(functional(UNIFORM_GAS.get(name, "lda_x")), *variables)
    rounded = 0.174e-12 if name == "mgga_x_r2scan" else 0  # (h0 - 1) times the sum of its published coefficients
    np.testing.assert_allclose(value[0], uniform[0], rtol=1e-13 + rounded)
    if name.startswith("gga"):
        np.testing.assert_allclose(value[1], uniform[1], rtol=1e-12)


def test_any_grid_shape_and_jit_with_the_functional_static():
    rho_s, gradients = random_density(2, points=24)
    sigma, xc = squared(gradients), functional("PBE")
    boxed = energy_density(xc, rho_s.reshape(2, 2, 3, 4), sigma.reshape(3, 2, 3, 4))
    assert boxed.dtype == np.float64
    np.testing.assert_allclose(boxed.ravel(), energy_density(xc, rho_s, sigma), rtol=1e-14)


def test_names_and_kinds():
    assert functional("pbe") == functional("PBE") == Functional("PBE", ("gga_x_pbe", "gga_c_pbe"))
    assert functional("PBESOL").name == "PBEsol"
    assert functional("LDA").terms == ("lda_x", "lda_c_pw")
    assert functional(" LDA_X + lda_c_vwn ").name == "lda_x+lda_c_vwn"
    assert [functional(name).kind for name in ("none", "LDA", "lda_x+gga_c_pbe", "PBEsol", "scan")] == [
        "none",
        "lda",
        "gga",
        "gga",
        "mgga",
    ]
    assert hash(functional("PBE")) == hash(functional("pbe"))
    assert functional("LDA").parameters() == {} and functional("none").parameters() == {}


def test_none_is_zero():
    assert not functional("None").energy_density(np.ones((2, 5))).any()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PEB", ["'PEB'", "'PBE'"]),
        ("lda_c_vnw", ["lda_c_vwn", "Did you mean"]),
        ("lda_x+lda_c_pv", ["'lda_c_pv'", "lda_c_pw"]),
        ("PBE+lda_x", ["the term 'pbe'"]),
        ("", ["''"]),
        ("lda_x+", ["the term ''"]),
        ("revSCAN", ["'revSCAN' is a meta-GGA"]),
        ("mgga_x_m06_l", ["meta-GGA"]),
        ("HSE06", ["hybrid"]),
        ("PBE0", ["hybrid"]),
        ("B3LYP", ["hybrid"]),
        ("hybrid-something", ["hybrid"]),
        ("hyb_gga_xc_pbeh", ["hybrid"]),
        ("lda_x+lda_x", ["twice"]),
        (None, ["None"]),
    ],
)
def test_wrong_names_are_explained(name, words):
    with pytest.raises(InputError) as raised:
        functional(name)
    message = str(raised.value)
    for word in [*words, *NAMED, *TERMS]:
        assert word in message
    assert "\n" not in message


def test_wrong_arguments_are_explained():
    xc = functional("PBE")
    with pytest.raises(InputError, match="sigma is missing"):
        xc.energy_density(np.ones((1, 4)))
    with pytest.raises(InputError, match=r"sigma is of shape \(1, 4\) but must have shape \(3, 4\)"):
        xc.energy_density(np.ones((2, 4)), np.ones((1, 4)))
    with pytest.raises(InputError, match="tau_s is missing but must have the shape"):
        functional("SCAN").energy_density(np.ones((1, 4)), np.ones((1, 4)))
    with pytest.raises(InputError, match="leading axis"):
        xc.energy_density(np.ones((3, 4)))
    with pytest.raises(InputError, match=r"no parameter gga_x_pbe.nu.*gga_x_pbe.kappa"):
        xc.energy_density(np.ones((1, 4)), np.ones((1, 4)), parameters={"gga_x_pbe": {"nu": 1.0}})
