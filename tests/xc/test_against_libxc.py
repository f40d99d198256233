import libxc_reference
import numpy as np
import pytest
from densities import UNIFORM_GAS, evaluated, kinetic, random_density, squared

from dftopt.xc import functional
from dftopt.xc.functional import TERMS

SPINS = [(1, False), (2, False), (2, True)]
COMPOSITES = ["PBE", "lda_x+gga_c_pbe+mgga_x_scan"]


def assert_close(value, reference, scale, tolerance):
    known = np.isfinite(reference)
    assert np.isfinite(value).all() and known.any()
    error = np.abs(value - reference)[known]
    assert np.all(error <= tolerance * scale[known]), np.max(error / np.maximum(scale[known], 1e-300))


def conditioned(term, reference, rho_s, sigma, tau_s):
    """Scales of the energy and its derivatives: their own size, or that of the parts that cancel.

    libxc adds the uniform-gas energy and the gradient correction, which have opposite signs. Where they cancel libxc
    loses digits (test_pbe_correlation_in_high_precision), so errors are measured relative to both parts at least.
    Derivatives of meta-GGAs cross zero at alpha = 1, where libxc cuts off SCAN's switching function.
    """
    energy, v_rho, v_sigma, v_tau = reference
    if term not in UNIFORM_GAS:
        return [None if x is None else np.abs(x) for x in reference]
    e_uniform, v_uniform, *_ = libxc_reference.evaluate(UNIFORM_GAS[term], rho_s)
    gradient = np.nansum(np.abs(sigma * v_sigma), axis=0)
    if v_tau is not None:
        channels = np.abs(rho_s * v_uniform), tau_s
        parts, taus = channels if "_x_" in term else (np.sum(x, axis=0) + 0 * tau_s for x in channels)
        per_tau = np.divide(parts, taus, out=np.zeros_like(rho_s), where=taus > 0)
        v_tau = np.maximum(np.abs(v_tau), per_tau)
        v_sigma = np.maximum(np.abs(v_sigma), np.abs(e_uniform) / np.sum(np.abs(sigma), axis=0))
    return (
        np.max([np.abs(energy), np.abs(e_uniform), gradient], axis=0),
        np.maximum(np.maximum(np.abs(v_rho), np.abs(v_uniform)), gradient / np.sum(rho_s, axis=0)),
        np.abs(v_sigma),
        v_tau,
    )


@pytest.mark.parametrize(("spin", "fully_polarized"), SPINS)
@pytest.mark.parametrize("term", TERMS)
def test_term_matches_libxc(term, spin, fully_polarized):
    rho_s, gradients = random_density(spin, fully_polarized=fully_polarized)
    sigma, tau_s = squared(gradients), kinetic(rho_s, gradients)
    reference = libxc_reference.evaluate(term, rho_s, gradients, tau_s)
    values = evaluated(functional(term), rho_s, sigma, tau_s)
    scales = conditioned(term, reference, rho_s, sigma, tau_s)
    for value, exact, scale, tolerance in zip(values, reference, scales, [1e-12, 1e-10, 1e-10, 1e-10], strict=True):
        if exact is None:
            assert not value.any()
        else:
            assert_close(value, exact, scale, tolerance)


@pytest.mark.parametrize(("spin", "fully_polarized"), SPINS)
@pytest.mark.parametrize("name", COMPOSITES)
def test_sum_matches_libxc(name, spin, fully_polarized):
    """Relative to the terms, not to the sum: in PBE the gradient terms of exchange and correlation cancel by design."""
    xc = functional(name)
    rho_s, gradients = random_density(spin, fully_polarized=fully_polarized, seed=1)
    sigma, tau_s = squared(gradients), kinetic(rho_s, gradients, seed=1)
    values = evaluated(xc, rho_s, sigma, tau_s)
    terms = [libxc_reference.evaluate(term, rho_s, gradients, tau_s) for term in xc.terms]
    scales = [conditioned(term, ref, rho_s, sigma, tau_s) for term, ref in zip(xc.terms, terms, strict=True)]
    for i, tolerance in enumerate([1e-12, 1e-10, 1e-10, 1e-10]):
        parts = [term[i] for term in terms if term[i] is not None]
        if parts:
            scale = sum(scale[i] for scale in scales if scale[i] is not None)
            assert_close(values[i], sum(parts), scale, tolerance)


@pytest.mark.parametrize("spin", [1, 2])
@pytest.mark.parametrize("term", [term for term in TERMS if term.startswith("mgga")])
def test_too_small_tau_counts_as_in_libxc(term, spin):
    """Energies as libxc's where tau < tau_W; the derivatives are those of this energy.

    libxc replaces sigma by the bound 8 rho tau and returns the derivatives at the replaced point. Without spin the
    bound lets only rho and tau vary, which gives the derivatives from those of libxc.
    """
    rho_s, gradients = random_density(spin)
    rng = np.random.default_rng(2)
    sigma, tau_s = squared(gradients), kinetic(rho_s, gradients)
    bound = np.sum(gradients**2, axis=1) / (8 * rho_s)
    tau_s = np.where(rng.random(tau_s.shape) < 0.7, rng.uniform(0, 0.9, tau_s.shape) * bound, tau_s)
    reference = libxc_reference.evaluate(term, rho_s, gradients, tau_s)
    energy, v_rho, v_sigma, v_tau = reference
    values = evaluated(functional(term), rho_s, sigma, tau_s)
    scales = conditioned(term, reference, rho_s, sigma, tau_s)
    if term == "mgga_c_tpss" and spin == 2:  # |grad zeta|^2 of the replaced sigma may be negative; we take zero then
        up, down = (np.minimum(sigma[2 * i], 8 * rho_s[i] * tau_s[i]) for i in range(2))
        mixed = np.clip(sigma[1], -(up + down) / 2, (up + down) / 2)
        polarization_slope2 = rho_s[1] ** 2 * up - 2 * rho_s[0] * rho_s[1] * mixed + rho_s[0] ** 2 * down
        energy = np.where(polarization_slope2 >= 0, energy, np.nan)
    assert_close(values[0], energy, scales[0], 1e-12)
    if spin == 1:
        changed = (tau_s < bound)[0]
        assert changed.any() and not values[2][:, changed].any()
        for i, direct, chained in ((1, v_rho, 8 * tau_s * v_sigma), (3, v_tau, 8 * rho_s * v_sigma)):
            scale = scales[i] + np.abs(chained)
            assert_close(values[i][:, changed], (direct + chained)[:, changed], scale[:, changed], 1e-10)


def test_functionals_differ_as_they_should():
    """The rounded and the precise Perdew-Wang constants are told apart, by us as by libxc."""
    rho_s = np.array([[0.1]])
    pw, mod = (libxc_reference.evaluate(name, rho_s)[0] for name in ("lda_c_pw", "lda_c_pw_mod"))
    assert abs(pw - mod) > 1e-8
