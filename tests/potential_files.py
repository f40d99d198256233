"""Potential files for tests: GTH potentials, in closed form in real space, written on radial meshes as UPF and psp8."""

from math import gamma

import numpy as np
from ase.data import atomic_numbers
from scipy.special import erf

from dftopt.atoms import gth

CORE, WIDTH = 0.15, 0.9  # amplitude (bohr^-3) and width (bohr) of the core density CORE exp(-r^2 / WIDTH^2)


def uniform_mesh(end: float = 12.0, step: float = 0.01):
    """As ONCV potentials have it, from 0."""
    r = step * np.arange(round(end / step) + 1)
    return r, np.full(len(r), step)


def logarithmic_mesh(end: float = 60.0, first: float = 1e-4, dx: float = 0.0125):
    """As older potentials have it."""
    r = first * np.exp(dx * np.arange(int(np.log(end / first) / dx) + 1))
    return r, dx * r


def local(p: gth.GTH, r):
    """Local potential, hartree."""
    x = r / p.rloc
    c = p.cloc
    near = np.where(r > 0, r, 1.0)
    coulomb = np.where(r > 0, -p.charge * erf(x / np.sqrt(2)) / near, -p.charge * np.sqrt(2 / np.pi) / p.rloc)
    return coulomb + np.exp(-(x**2) / 2) * (c[0] + c[1] * x**2 + c[2] * x**4 + c[3] * x**6)


def projectors(p: gth.GTH, r):
    """(l, r times each projector, coupling in hartree) of each channel."""
    out = []
    for c in p.channels:
        rows = []
        for i in range(1, c.n + 1):
            power = c.l + (4 * i - 1) / 2
            radial = np.sqrt(2) * r ** (c.l + 2 * (i - 1)) * np.exp(-(r**2) / (2 * c.r**2))
            rows.append(r * radial / (c.r**power * np.sqrt(gamma(power))))
        out.append((c.l, np.array(rows), np.array(c.h)))
    return out


def core(r):
    """Core density, electrons per bohr^3."""
    return CORE * np.exp(-((r / WIDTH) ** 2))


def valence(p: gth.GTH, r, width: float = 1.2):
    """A Gaussian valence density, 4 pi r^2 rho."""
    return 4 * np.pi * r**2 * p.charge * np.exp(-((r / width) ** 2)) / (np.pi**1.5 * width**3)


def _block(values) -> str:
    words = [f"{x:24.15E}" for x in np.asarray(values).ravel()]
    return "\n".join("".join(words[i : i + 4]) for i in range(0, len(words), 4)) + "\n"


def upf2(p: gth.GTH, mesh=None, with_core: bool = False, functional: str = "PBE", tail: float = 0.0, **header) -> str:
    """UPF version 2, written as ONCVPSP does, with tail / r added to the local potential from 3 bohr on (hartree).

    `header` replaces or adds attributes of PP_HEADER.
    """
    r, dr = mesh or uniform_mesh()
    n = len(r)
    v = local(p, r) + np.where(r > 3, tail / np.maximum(r, 3.0), 0.0)
    betas = [(l, row) for l, rows, _ in projectors(p, r) for row in rows]
    size = len(betas)
    d = np.zeros((size, size))
    at = 0
    for _, rows, h in projectors(p, r):
        d[at : at + len(rows), at : at + len(rows)] = 2 * h
        at += len(rows)
    attributes = {
        "generated": "by a test & <nothing> else".replace("<nothing>", "nothing"), "author": "a test", "element": f"{p.element:2s}",
        "pseudo_type": "NC", "relativistic": "scalar", "is_ultrasoft": "F", "is_paw": "F", "is_coulomb": "F", "has_so": "F",
        "has_wfc": "F", "has_gipaw": "F", "core_correction": "T" if with_core else ".false.", "functional": functional,
        "z_valence": f"{p.charge:10.2f}", "wfc_cutoff": "3.0D+01", "l_max": "1", "l_local": "-1", "mesh_size": f"  {n}",
        "number_of_wfc": "0", "number_of_proj": f" {size}", **header,
    }  # fmt: skip
    head = "\n".join(f'       {k}="{v}"' for k, v in attributes.items())
    field = lambda tag, values, more="": (
        f'  <{tag} type="real" size="{np.size(values)}" columns="4" {more}>\n{_block(values)}  </{tag}>\n'
    )
    beta = "".join(
        field(f"PP_BETA.{i}", row, f'index="{i}" angular_momentum="{l}" cutoff_radius_index="{n}"')
        for i, (l, row) in enumerate(betas, start=1)
    )
    return (
        '<UPF version="2.0.1">\n  <PP_INFO>\n  free text, a < b & c > d, no XML\n  </PP_INFO>\n  <!-- a comment -->\n'
        f"  <PP_HEADER\n{head}/>\n<PP_MESH>\n{field('PP_R', r)}{field('PP_RAB', dr)}</PP_MESH>\n"
        f"{field('PP_LOCAL', 2 * v)}<PP_NONLOCAL>\n{beta}{field('PP_DIJ', d) if size else ''}</PP_NONLOCAL>\n<PP_PSWFC>\n</PP_PSWFC>\n"
        f"{field('PP_NLCC', core(r)) if with_core else ''}{field('PP_RHOATOM', valence(p, r))}</UPF>\n"
    )


def upf1(p: gth.GTH, mesh=None, with_core: bool = False, functional: str = "SLA  PW   PBX  PBC   PBE") -> str:
    """UPF version 1, written as Quantum ESPRESSO's converters did."""
    r, dr = mesh or logarithmic_mesh()
    n = len(r)
    channels = projectors(p, r)
    betas = [(l, row) for l, rows, _ in channels for row in rows]
    couplings, at = [], 0
    for _, rows, h in channels:
        couplings += [(at + i + 1, at + j + 1, 2 * h[i, j]) for i in range(len(rows)) for j in range(i, len(rows))]
        at += len(rows)
    section = lambda tag, content: f"<{tag}>\n{content}</{tag}>\n"
    end = int(np.searchsorted(r, 10.0))
    beta = "".join(
        section("PP_BETA", f"    {i}    {l}             Beta    L\n   {end}\n{_block(row[:end])}    2.40  2.40\n  3S\n")
        for i, (l, row) in enumerate(betas, start=1)
    )
    dij = "".join(f"    {i}    {j} {value:24.15E}\n" for i, j, value in couplings)
    head = (
        f"   0                   Version Number\n  {p.element:2s}                   Element\n"
        "   NC                  Norm - Conserving pseudopotential\n"
        f"    {'T' if with_core else 'F'}                  Nonlinear Core Correction\n"
        f" {functional}    Exchange-Correlation functional\n   {p.charge:.11f}      Z valence\n"
        "   0.00000000000       Total energy\n  0.0000000  0.0000000     Suggested cutoff for wfc and rho\n"
        f"    1                  Max angular momentum component\n  {n}                  Number of points in mesh\n"
        f"    0    {len(betas)}             Number of Wavefunctions, Number of Projectors\n Wavefunctions         nl  l   occ\n"
    )
    nonlocal_part = beta + section("PP_DIJ", f"    {len(couplings)}                  Number of nonzero Dij\n{dij}")
    return (
        section("PP_INFO", "Generated by a test, a < b & c\n") + "\n\n" + section("PP_HEADER", head)
        + section("PP_MESH", section("PP_R", _block(r)) + section("PP_RAB", _block(dr)))
        + (section("PP_NLCC", _block(core(r))) if with_core else "")
        + section("PP_LOCAL", _block(2 * local(p, r)))
        + (section("PP_NONLOCAL", nonlocal_part) if betas else section("PP_NONLOCAL", ""))
        + section("PP_PSWFC", "") + section("PP_RHOATOM", _block(valence(p, r)))
    )  # fmt: skip


def psp8(p: gth.GTH, mesh=None, with_core: bool = False, pspxc: int = 11, extension: int = 1) -> str:
    """psp8, written as ONCVPSP does; the coupling is made diagonal, which the format wants."""
    r, _ = mesh or uniform_mesh(6.0)
    n = len(r)
    number = lambda x: f"{x:22.13E}".replace("E", "D")
    rows = lambda *columns: "".join(
        f"{i:6d}" + "".join(number(x) for x in row) + "\n" for i, row in enumerate(zip(r, *columns, strict=True), 1)
    )
    top = max((c.l for c in p.channels), default=0)
    channels = {}
    for l, values, h in projectors(p, r):
        energies, turn = np.linalg.eigh(h)
        channels[l] = (turn.T @ values, energies)
    counts = [len(channels[l][1]) if l in channels else 0 for l in range(top + 1)]
    out = (
        f"{p.element}    ONCVPSP-3.3.0  r_core=   1.60  1.70\n"
        f"     {atomic_numbers[p.element]:.4f}      {p.charge:.4f}      170510    zatom,zion,pspd\n"
        f"     8  {pspxc:6d}   {top}     4   {n}     0    pspcod,pspxc,lmax,lloc,mmax,r2well\n"
        f"  {r[-1]:.8f}  {4.0 if with_core else 0.0:.8f}  0.00000000    rchrg fchrg qchrg\n"
        f"     {'     '.join(map(str, counts))}    nproj\n     {extension}     1           extension_switch\n"
    )
    for l in range(top + 1):
        if counts[l]:
            values, energies = channels[l]
            out += f"{l:4d}" + " " * 24 + "".join(number(x) for x in energies) + "\n" + rows(*values)
    out += "   4\n" + rows(local(p, r))
    if with_core:
        out += rows(4 * np.pi * core(r), *[np.zeros(n)] * 4)
    density = valence(p, np.where(r > 0, r, 1.0)) / np.where(r > 0, r, 1.0) ** 2
    out += rows(density, density, density)
    return out + "<INPUT>\nof the generator\n</INPUT>\n"


WRITERS = {"UPF 2": (upf2, ".upf"), "UPF 1": (upf1, ".UPF"), "psp8": (psp8, ".psp8")}
