"""Energy densities and first derivatives from libxc, through PySCF."""

import ctypes
from functools import cache

import numpy as np
from pyscf.dft import libxc


@cache
def _without_thresholds(name):
    """Name under which PySCF finds the functional with its density threshold out of the way.

    By default libxc raises an empty spin channel to 1e-15 (LDA) or 1e-12 bohr^-3 (PBE correlation), which changes the
    energies of fully polarized densities by as much as 1e-4.
    """
    alias = f"dftopt_{name}"
    libxc.register_custom_functional_(alias, name)
    for spin in (0, 1):
        for func in libxc._get_xc(alias, spin).xc_objs:
            libxc._itrf.xc_func_set_dens_threshold(func, ctypes.c_double(1e-60))
            libxc._itrf.xc_func_set_sigma_threshold(func, ctypes.c_double(1e-150))
            libxc._itrf.xc_func_set_tau_threshold(func, ctypes.c_double(1e-200))
    return alias


def evaluate(name, rho_s, gradients):
    """Energy per volume and its derivatives in rho_s and sigma.

    Args:
        name: libxc name.
        rho_s: densities (spin, points).
        gradients: density gradients (spin, 3, points).

    Returns:
        e (points,), de/drho_s (spin, points), de/dsigma (1 or 3, points) or None for an LDA.
    """
    spin = len(rho_s) - 1
    is_gga = "gga" in name
    variables = np.concatenate([rho_s[:, None], gradients], axis=1) if is_gga else rho_s
    out = libxc.eval_xc1(_without_thresholds(name), variables if spin else variables[0], spin, deriv=1)
    energy = out[0] * np.sum(rho_s, axis=0)
    v_rho = out[1 : 2 + spin]
    if "_x_" in name or name.endswith("_x"):
        v_rho[rho_s == 0] = 0  # exact by spin scaling; libxc has remnants of its floors of rho, sigma and 1 - |zeta|
    v_sigma = out[2 + spin :] if is_gga else None
    if name == "gga_c_lyp" and spin:  # libxc divides the floor of an empty channel's sigma by that of its density
        empty = rho_s == 0
        v_sigma[::2] = np.where(empty, 0.75 * v_sigma[1], np.where(empty[::-1], 0.0, v_sigma[::2]))  # eq. (2), d = 0
    return energy, v_rho, v_sigma
