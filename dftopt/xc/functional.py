"""Exchange-correlation functionals by name: sums of terms that carry libxc's names."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.errors import InputError
from dftopt.xc import b88, lyp, p86, pbe, pw91, r2scan, rpbe, scan, tpss
from dftopt.xc.pw92 import lda_c_pw, lda_c_pw_mod
from dftopt.xc.pz81 import lda_c_pz
from dftopt.xc.slater import lda_x
from dftopt.xc.teter93 import lda_xc_teter93
from dftopt.xc.variables import check_shapes, split
from dftopt.xc.vwn import lda_c_vwn, lda_c_vwn_rpa


class Term(NamedTuple):
    """What a libxc name stands for: the rung, the energy density and its adjustable parameters."""

    kind: str
    energy_density: Callable
    parameters: Mapping[str, float]


TERMS: dict[str, Term] = {
    "lda_x": Term("lda", lda_x, {}),
    "lda_c_pw": Term("lda", lda_c_pw, {}),
    "lda_c_pw_mod": Term("lda", lda_c_pw_mod, {}),
    "lda_c_pz": Term("lda", lda_c_pz, {}),
    "lda_c_vwn": Term("lda", lda_c_vwn, {}),
    "lda_c_vwn_rpa": Term("lda", lda_c_vwn_rpa, {}),
    "lda_xc_teter93": Term("lda", lda_xc_teter93, {}),
    **{name: Term("gga", pbe.exchange, parameters) for name, parameters in pbe.EXCHANGE.items()},
    "gga_x_rpbe": Term("gga", rpbe.gga_x_rpbe, rpbe.RPBE),
    "gga_x_wc": Term("gga", rpbe.gga_x_wc, rpbe.WU_COHEN),
    **{name: Term("gga", b88.exchange, parameters) for name, parameters in b88.EXCHANGE.items()},
    "gga_x_pw91": Term("gga", pw91.gga_x_pw91, pw91.EXCHANGE),
    **{name: Term("gga", pbe.correlation, parameters) for name, parameters in pbe.CORRELATION.items()},
    "gga_c_pw91": Term("gga", pw91.gga_c_pw91, pw91.CORRELATION),
    "gga_c_lyp": Term("gga", lyp.gga_c_lyp, lyp.PARAMETERS),
    "gga_c_p86": Term("gga", p86.gga_c_p86, p86.PARAMETERS),
    "mgga_x_tpss": Term("mgga", tpss.mgga_x_tpss, tpss.EXCHANGE),
    "mgga_c_tpss": Term("mgga", tpss.mgga_c_tpss, tpss.CORRELATION),
    "mgga_x_scan": Term("mgga", scan.mgga_x_scan, scan.EXCHANGE),
    "mgga_c_scan": Term("mgga", scan.mgga_c_scan, scan.CORRELATION),
    "mgga_x_r2scan": Term("mgga", r2scan.mgga_x_r2scan, r2scan.EXCHANGE),
    "mgga_c_r2scan": Term("mgga", r2scan.mgga_c_r2scan, r2scan.CORRELATION),
}

NAMED: dict[str, tuple[str, ...]] = {
    "LDA": ("lda_x", "lda_c_pw"),
    "PBE": ("gga_x_pbe", "gga_c_pbe"),
    "PBEsol": ("gga_x_pbe_sol", "gga_c_pbe_sol"),
    "revPBE": ("gga_x_pbe_r", "gga_c_pbe"),
    "RPBE": ("gga_x_rpbe", "gga_c_pbe"),
    "WC": ("gga_x_wc", "gga_c_pbe"),
    "PW91": ("gga_x_pw91", "gga_c_pw91"),
    "BLYP": ("gga_x_b88", "gga_c_lyp"),
    "BP86": ("gga_x_b88", "gga_c_p86"),
    "TPSS": ("mgga_x_tpss", "mgga_c_tpss"),
    "SCAN": ("mgga_x_scan", "mgga_c_scan"),
    "r2SCAN": ("mgga_x_r2scan", "mgga_c_r2scan"),
    "none": (),
}

_KINDS = ("none", "lda", "gga", "mgga")
_META = ("rscan", "revscan", "r4scan", "revtpss", "m06l", "ms2", "b97mv", "tb09")
_HYBRID = ("hse", "hse03", "hse06", "hse12", "pbe0", "pbeh", "pbesol0", "b3lyp", "b3pw91", "cam-b3lyp", "hf", "exx")


@dataclass(frozen=True)
class Functional:
    """Sum of exchange-correlation terms; hashable, hence usable as a static argument of `jax.jit`.

    Attributes:
        name: canonical name.
        terms: libxc names of the terms; empty for "none".
    """

    name: str
    terms: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Highest rung among the terms: "none", "lda", "gga" or "mgga"."""
        return max((TERMS[term].kind for term in self.terms), key=_KINDS.index, default="none")

    def parameters(self) -> dict[str, dict[str, float]]:
        """Default values of the adjustable parameters, per term; a pytree to differentiate in."""
        return {term: dict(TERMS[term].parameters) for term in self.terms if TERMS[term].parameters}

    def energy_density(
        self,
        rho_s: Float[Array, "spin ..."],
        sigma: Float[Array, "gradient ..."] | None = None,
        tau_s: Float[Array, "spin ..."] | None = None,
        parameters: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Float[Array, "..."]:
        r"""Exchange-correlation energy per volume, $E_{xc} = \int e_{xc}(\rho, \sigma, \tau) dr$.

        Zero where the density is below 1e-15 bohr^-3; negative densities count as zero.

        Args:
            rho_s: total density (leading axis 1) or up and down densities (2), bohr^-3.
            sigma: squared gradients, $|\nabla\rho|^2$ (leading axis 1) or uu, ud, dd (3), bohr^-8; LDAs ignore it.
            tau_s: kinetic energy densities $\frac12 \sum_i f_i |\nabla\psi_i|^2$, total (leading axis 1) or up and down
                (2), hartree/bohr^3; LDAs and GGAs ignore them. Below von Weizsaecker's $\sigma / 8\rho$ the gradient
                counts as what tau allows.
            parameters: values that replace those of `parameters()`; terms and parameters left out keep theirs.

        Returns:
            Energy density, hartree/bohr^3.
        """
        check_shapes(rho_s, sigma, tau_s, self.kind)
        parameters = _merged(self, parameters or {})
        variables = [split(x) for x in (rho_s, sigma, tau_s)[: _KINDS.index(self.kind)] if x is not None]
        energies = []
        for name in self.terms:
            term = TERMS[name]
            arguments = variables[: _KINDS.index(term.kind)]
            energies.append(term.energy_density(*arguments, **parameters.get(name, {})))
        return reduce(add, energies) if energies else jnp.zeros_like(rho_s[0])


def _merged(xc: Functional, replaced: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    merged = xc.parameters()
    for term, values in replaced.items():
        for key, value in values.items():
            if key not in merged.get(term, {}):
                known = ", ".join(f"{t}.{p}" for t, names in merged.items() for p in names) or "none"
                raise InputError(f"xc {xc.name!r} has no parameter {term}.{key}; its adjustable parameters: {known}.")
            merged[term][key] = value
    return merged


def _offer() -> str:
    return f"Known: {', '.join(NAMED)}, or a sum with '+' of {', '.join(TERMS)} (e.g. 'lda_x+lda_c_vwn')."


def _unsupported(name: str) -> str | None:
    """Why a name that is a functional elsewhere is none here; `None` for a name that is merely unknown."""
    bare = name.replace("-", "").replace("_", "").replace(" ", "")
    if bare.startswith("mgga") or bare in _META:
        return "a meta-GGA that is not among those available here"
    if bare.startswith("hyb") or "_hyb_" in name or bare in {hybrid.replace("-", "") for hybrid in _HYBRID}:
        return "a hybrid: it needs exact exchange, which is not available here"
    return None


def _reject(name: str, part: str) -> InputError:
    where = f"xc {name!r}" if part == name.strip().lower() else f"xc {name!r}: the term {part!r}"
    reason = _unsupported(part)
    if reason:
        return InputError(f"{where} is {reason}. {_offer()}")
    candidates = {known.lower(): known for known in (*NAMED, *TERMS)}
    near = [candidates[match] for match in difflib.get_close_matches(part, candidates, n=3, cutoff=0.5)]
    nearest = f" Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""
    return InputError(f"{where} is not a known functional.{nearest} {_offer()}")


def functional(name: str) -> Functional:
    """Functional of a name.

    Args:
        name: "LDA" (Slater + Perdew-Wang 1992), "PBE", "PBEsol", "revPBE", "RPBE", "WC", "PW91", "BLYP", "BP86",
            "TPSS", "SCAN", "r2SCAN", "none", or libxc names joined by "+" ("lda_x+lda_c_vwn", "lda_xc_teter93"); case does
            not matter.

    Returns:
        The functional, with its canonical name.

    Raises:
        InputError: the name, or a term of the sum, is unknown or not available, or a term occurs twice.
    """
    if not isinstance(name, str):
        raise InputError(f"xc must be a name, not {name!r} of type {type(name).__name__}. {_offer()}")
    for known, terms in NAMED.items():
        if name.strip().lower() == known.lower():
            return Functional(known, terms)
    parts = tuple(part.strip().lower() for part in name.split("+"))
    for part in parts:
        if part not in TERMS:
            raise _reject(name, part)
    if len(set(parts)) < len(parts):
        raise InputError(f"xc {name!r} has a term twice; write each term once. {_offer()}")
    for known, terms in NAMED.items():
        if sorted(parts) == sorted(terms):
            return Functional(known, terms)
    return Functional("+".join(parts), parts)
