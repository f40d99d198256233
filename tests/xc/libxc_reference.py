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


def evaluate(name, rho_s, gradients=None, tau_s=None):
    """Energy per volume and its derivatives in rho_s, sigma and tau_s.

    Args:
        name: libxc name.
        rho_s: densities (spin, points).
        gradients: density gradients (spin, 3, points).
        tau_s: kinetic energy densities (spin, points).

    Returns:
        e (points,), de/drho_s (spin, points), de/dsigma (1 or 3, points; None for an LDA), de/dtau_s (spin, points;
        None for LDAs and GGAs); NaN where libxc's thresholds decide.
    """
    spin = len(rho_s) - 1
    is_mgga, is_gga = name.startswith("mgga"), "gga" in name
    variables = np.concatenate([rho_s[:, None], gradients], axis=1) if is_gga else rho_s
    if is_mgga:
        variables = np.concatenate([variables, tau_s[:, None]], axis=1)
    out = libxc.eval_xc1(_without_thresholds(name), variables if spin else variables[0], spin, deriv=1)
    energy = out[0] * np.sum(rho_s, axis=0)
    v_rho, v_sigma, v_tau = out[1 : 2 + spin], out[2 + spin : 3 + 3 * spin], out[3 + 3 * spin :]
    empty = rho_s == 0
    if "_x_" in name or name.endswith("_x"):
        v_rho[empty] = 0  # exact by spin scaling; libxc has remnants of its floors of rho, sigma and 1 - |zeta|
    if is_mgga and "_c_" in name and spin:  # only the total tau enters; libxc drops that of an empty channel
        v_tau = np.where(empty, v_tau[::-1], v_tau)
    if name == "gga_c_lyp" and spin:  # libxc divides the floor of an empty channel's sigma by that of its density
        v_sigma[::2] = np.where(empty, 0.75 * v_sigma[1], np.where(empty[::-1], 0.0, v_sigma[::2]))  # eq. (2), d = 0
    if (
        name == "mgga_c_tpss" and spin
    ):  # libxc's depend on its floors: C(zeta, xi) is singular there, but does not matter
        v_rho[empty] = np.nan
        v_sigma[::2][empty] = v_sigma[1][empty.any(axis=0)] = np.nan
    return energy, v_rho, v_sigma if is_gga else None, v_tau if is_mgga else None
