"""Functionals as pseudopotential files name them: Quantum ESPRESSO's short names (UPF) and libxc numbers (psp8)."""

import re

from dftopt.errors import InputError
from dftopt.xc.functional import Functional, functional

SHORT_NAMES: dict[str, str] = {
    "LDA": "lda_x+lda_c_pz",  # not ours: Quantum ESPRESSO and the files that say LDA mean Perdew-Zunger
    "PZ": "lda_x+lda_c_pz",
    "PW": "lda_x+lda_c_pw",
    "VWN": "lda_x+lda_c_vwn",
    "BP": "BP86",
}
"""Short names that are not among the names of `functional`, or that mean something else there."""

EXCHANGE: dict[tuple[str, str], str] = {
    ("SLA", "NOGX"): "lda_x",
    ("SLA", "PBX"): "gga_x_pbe",
    ("SLA", "PBE"): "gga_x_pbe",
    ("SLA", "PSX"): "gga_x_pbe_sol",
    ("SLA", "REVX"): "gga_x_pbe_r",
    ("SLA", "HHNX"): "gga_x_rpbe",
    ("SLA", "B88"): "gga_x_b88",
    ("SLA", "GGX"): "gga_x_pw91",
    ("SLA", "WCX"): "gga_x_wc",
    ("SLA", "OBK8"): "gga_x_optb88_vdw",
    ("SLA", "TPSS"): "mgga_x_tpss",
}
"""libxc name of a pair of local exchange and its gradient correction."""

CORRELATION: dict[tuple[str, str], str] = {
    ("PZ", "NOGC"): "lda_c_pz",
    ("PW", "NOGC"): "lda_c_pw",
    ("VWN", "NOGC"): "lda_c_vwn",
    ("PW", "PBC"): "gga_c_pbe",
    ("PW", "PBE"): "gga_c_pbe",
    ("PW", "PSC"): "gga_c_pbe_sol",
    ("PW", "GGC"): "gga_c_pw91",
    ("LYP", "BLYP"): "gga_c_lyp",
    ("PZ", "P86"): "gga_c_p86",
    ("PW", "TPSS"): "mgga_c_tpss",
}
"""libxc name of a pair of local correlation and its gradient correction."""

LIBXC: dict[int, str] = {
    1: "lda_x",
    7: "lda_c_vwn",
    8: "lda_c_vwn_rpa",
    9: "lda_c_pz",
    12: "lda_c_pw",
    13: "lda_c_pw_mod",
    20: "lda_xc_teter93",
    101: "gga_x_pbe",
    102: "gga_x_pbe_r",
    106: "gga_x_b88",
    109: "gga_x_pw91",
    116: "gga_x_pbe_sol",
    117: "gga_x_rpbe",
    118: "gga_x_wc",
    130: "gga_c_pbe",
    131: "gga_c_lyp",
    132: "gga_c_p86",
    133: "gga_c_pbe_sol",
    134: "gga_c_pw91",
    139: "gga_x_optb88_vdw",
    202: "mgga_x_tpss",
    231: "mgga_c_tpss",
    263: "mgga_x_scan",
    267: "mgga_c_scan",
    497: "mgga_x_r2scan",
    498: "mgga_c_r2scan",
}
"""libxc's numbers of the functionals."""

ABINIT: dict[int, str] = {
    0: "none",
    1: "lda_xc_teter93",
    2: "lda_x+lda_c_pz",
    7: "LDA",
    11: "PBE",
    14: "revPBE",
    15: "RPBE",
    23: "gga_x_wc+gga_c_pbe",
}
"""ABINIT's own numbers (`ixc`)."""


def from_short_name(text: str) -> Functional:
    """Functional of the `functional` attribute or header line of a UPF file.

    Args:
        text: Quantum ESPRESSO's name of the whole ("PBE", "PZ", "SCAN") or of its local exchange, local correlation,
            gradient exchange and gradient correlation ("SLA PW PBX PBC", "sla+pw+pbx+pbc", " SLA PZ NOGX NOGC PZ");
            case, spaces and a nickname in fifth place do not matter. "LDA" is Perdew-Zunger there, unlike
            `functional`. Any other name of `functional` is understood too.

    Returns:
        The functional.

    Raises:
        InputError: the name or one of its parts is unknown or not available; the message names it.

    References:
        Quantum ESPRESSO, XClib/dft_setting_routines (short names and the table of its parts).
    """
    bare = re.sub(r"exchange-correlation functional.*", "", text.strip(), flags=re.IGNORECASE).strip()
    if bare.upper() in SHORT_NAMES:
        return functional(SHORT_NAMES[bare.upper()])
    parts = re.split(r"[\s+-]+", bare.upper())
    if parts[:4] == ["NOX", "NOC", "NOGX", "NOGC"]:
        return from_short_name(parts[4]) if len(parts) == 5 else functional("none")
    if parts[0] != "SLA" or not 2 <= len(parts) <= 5:
        return functional(bare)
    x, c, gx, gc = (*parts[:4], "NOGX", "NOGC")[:4] if len(parts) != 3 else (*parts, "NOGC")
    for pair, known in (((x, gx), EXCHANGE), ((c, gc), CORRELATION)):
        if pair not in known:
            offer = ", ".join(" ".join(names) for names in known)
            raise InputError(f"functional {text.strip()!r}: the part {' '.join(pair)!r} is not known; known: {offer}.")
    return functional(f"{EXCHANGE[x, gx]}+{CORRELATION[c, gc]}")


def from_libxc_ids(x: int, c: int = 0) -> Functional:
    """Functional of libxc's numbers, e.g. 101 and 130: gga_x_pbe + gga_c_pbe.

    Args:
        x: number of the exchange functional; 0 for none.
        c: number of the correlation functional; 0 for none, or where x stands for both.

    Returns:
        The functional.

    Raises:
        InputError: a number is not known here; the message names it.
    """
    numbers = [number for number in (x, c) if number]
    for number in numbers:
        if number not in LIBXC:
            known = ", ".join(f"{i} ({name})" for i, name in LIBXC.items())
            raise InputError(
                f"libxc functional {number} (of exchange {x}, correlation {c}) is not known; known: {known}."
            )
    return functional("+".join(LIBXC[number] for number in numbers) or "none")


def from_pspxc(pspxc: int) -> Functional:
    """Functional of the `pspxc` (ABINIT's `ixc`) of a psp8 file.

    Args:
        pspxc: negative: minus a thousand times libxc's number of the exchange, minus that of the correlation
            (-101130: gga_x_pbe + gga_c_pbe); positive: ABINIT's own number (1 Teter 93, 2 Perdew-Zunger, 7 LDA, 11 PBE).

    Returns:
        The functional.

    Raises:
        InputError: the number is not known here; the message names it.

    References:
        ABINIT documentation, input variable ixc.
    """
    if pspxc < 0:
        return from_libxc_ids(*divmod(-pspxc, 1000))
    if pspxc not in ABINIT:
        known = ", ".join(f"{i} ({name})" for i, name in ABINIT.items())
        raise InputError(f"ABINIT's functional ixc = {pspxc} is not known; known: {known}, or -xxxccc (libxc numbers).")
    return functional(ABINIT[pspxc])
