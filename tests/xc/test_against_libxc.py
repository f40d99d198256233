import libxc_reference
import numpy as np
import pytest
from densities import evaluated, random_density, squared

from dftopt.xc import functional
from dftopt.xc.functional import TERMS

SPINS = [(1, False), (2, False), (2, True)]
COMPOSITES = ["LDA", "PBE", "PBEsol", "lda_x+gga_c_pbe"]
UNIFORM = {
    "gga_c_pbe": "lda_c_pw_mod",
    "gga_c_pbe_sol": "lda_c_pw_mod",
    "gga_c_pw91": "lda_c_pw",
    "gga_c_lyp": "lda_c_pz",
    "gga_c_p86": "lda_c_pz",
}


def assert_close(value, reference, scale, tolerance):
    assert np.all(np.abs(value - reference) <= tolerance * scale), np.max(np.abs(value - reference) / scale)


def conditioned(term, reference, rho_s, sigma):
    """Scales of the energy and its derivatives: their own size, or for correlation that of the parts that cancel.

    libxc adds the uniform-gas energy and the gradient correction, which have opposite signs. Where they cancel libxc
    loses digits (test_pbe_correlation_in_high_precision), so errors are measured relative to both parts at least.
    """
    energy, v_rho, v_sigma = reference
    if term not in UNIFORM:
        return [None if x is None else np.abs(x) for x in reference]
    uniform = libxc_reference.evaluate(UNIFORM[term], rho_s, None)
    gradient = np.sum(np.abs(sigma * v_sigma), axis=0)
    return (
        np.max([np.abs(energy), np.abs(uniform[0]), gradient], axis=0),
        np.maximum(np.maximum(np.abs(v_rho), np.abs(uniform[1])), gradient / np.sum(rho_s, axis=0)),
        np.abs(v_sigma),
    )


@pytest.mark.parametrize(("spin", "fully_polarized"), SPINS)
@pytest.mark.parametrize("term", TERMS)
def test_term_matches_libxc(term, spin, fully_polarized):
    rho_s, gradients = random_density(spin, fully_polarized=fully_polarized)
    sigma = squared(gradients)
    reference = libxc_reference.evaluate(term, rho_s, gradients)
    value = evaluated(functional(term), rho_s, sigma)
    scales = conditioned(term, reference, rho_s, sigma)
    assert_close(value[0], reference[0], scales[0], 1e-12)
    assert_close(value[1], reference[1], scales[1], 1e-10)
    if reference[2] is None:
        assert not value[2].any()
    else:
        assert_close(value[2], reference[2], scales[2], 1e-10)


@pytest.mark.parametrize(("spin", "fully_polarized"), SPINS)
@pytest.mark.parametrize("name", COMPOSITES)
def test_sum_matches_libxc(name, spin, fully_polarized):
    """Relative to the terms, not to the sum: in PBE the gradient terms of exchange and correlation cancel by design."""
    xc = functional(name)
    rho_s, gradients = random_density(spin, fully_polarized=fully_polarized, seed=1)
    value = evaluated(xc, rho_s, squared(gradients))
    terms = [libxc_reference.evaluate(term, rho_s, gradients) for term in xc.terms]
    for i, tolerance in enumerate([1e-12, 1e-10, 1e-10]):
        parts = np.array([term[i] for term in terms if term[i] is not None])
        if len(parts):
            assert_close(value[i], parts.sum(axis=0), np.abs(parts).sum(axis=0), tolerance)


def test_functionals_differ_as_they_should():
    """The rounded and the precise Perdew-Wang constants are told apart, by us as by libxc."""
    rho_s = np.array([[0.1]])
    pw, mod = (libxc_reference.evaluate(name, rho_s, None)[0] for name in ("lda_c_pw", "lda_c_pw_mod"))
    assert abs(pw - mod) > 1e-8
