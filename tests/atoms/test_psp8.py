"""psp8 files: what is read, and what is refused."""

import numpy as np
import pytest
from potential_files import core, local, projectors, psp8, uniform_mesh, valence

from dftopt.atoms import gth, potentials
from dftopt.errors import InputError

SILICON = gth.load("Si", "GTH-PBE")
SMALL = uniform_mesh(6.0, 0.1)


def read(text: str):
    return potentials.from_bytes(text.encode(), "Si.psp8")


@pytest.mark.parametrize("with_core", [False, True])
def test_everything_is_read(with_core):
    p = read(psp8(SILICON, None, with_core))
    r, _ = uniform_mesh(6.0)
    assert (p.element, p.charge, p.format, p.xc, p.named) == ("Si", 4.0, "psp8", "PBE", "pspxc = 11")
    assert np.allclose(p.r, r, atol=1e-12) and np.allclose(p.dr, 0.01)
    assert np.allclose(p.v_local, local(SILICON, r), rtol=1e-12)
    assert p.layout == SILICON.layout and p.points == p.projector_points == len(r)
    for channel, (_, values, h) in zip(p.channels, projectors(SILICON, r), strict=True):  # diagonal, the same operator
        assert np.allclose(channel.h, np.diag(np.diag(channel.h)))
        ours = np.einsum("ir,ij,js->rs", channel.values[:, ::50], channel.h, channel.values[:, ::50])
        assert np.allclose(ours, np.einsum("ir,ij,js->rs", values[:, ::50], h, values[:, ::50]), atol=1e-11)
    assert np.allclose(p.core, core(r), atol=1e-12) if with_core else p.core is None
    assert np.allclose(p.density[1:], valence(SILICON, r)[1:], atol=1e-11)


@pytest.mark.parametrize(("number", "name"), [(11, "PBE"), (7, "LDA"), (-101130, "PBE"), (-1012, "LDA"), (99, None)])
def test_functional(number, name):
    assert read(psp8(SILICON, SMALL, pspxc=number)).xc == name


def test_meshes_that_end_early_are_continued_by_minus_z_over_r():
    q = np.linspace(0, 10, 21)
    long = read(psp8(SILICON, uniform_mesh(10.0))).transforms(q)["local"]
    for end in (3.0, 3.01, 4.0, 6.99):  # even and odd numbers of points; V_loc is -4/r to 1e-9 / r at 3 bohr
        short = read(psp8(SILICON, uniform_mesh(end))).transforms(q)["local"]
        assert np.abs(short - long).max() < 1e-8, end


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("     1     1           extension", "     3     1           extension"), "spin-orbit coupling (extension_switch = 3)"),
        (("     1     1           extension", "     x     1           extension"), "extension_switch"),
        (("     8      11", "     6      11"), "pspcod = 6"),
        (("14.0000", "140.000"), "zatom"),
        (("      4.0000   ", "      5.0000   "), "-4/r hartree instead of -5/r"),
        (("      4.0000   ", "      15.000   "), "valence charge is 15"),
        (("   61     0 ", "   62     0 "), "truncated"),
        (("   61     0 ", "   60     0 "), "block of l"),
        (("   61     0 ", "   999999999 0 "), "mmax"),
        (("     2     1    nproj", "     1     1    nproj"), "columns"),
        (("     2     1    nproj", "     99    1    nproj"), "nproj"),
        (("   1     4   61", "   4     4   61"), "lmax"),
        (("   4\n", "   3\n"), "block of l = 4 is missing"),
    ],
)  # fmt: skip
def test_damaged_and_unsupported_files(change, message):
    text = psp8(SILICON, SMALL)
    assert change[0] in text
    with pytest.raises(InputError) as error:
        read(text.replace(*change, 1))
    assert "Si.psp8, line" in str(error.value) and message in str(error.value)


def test_files_with_the_local_potential_among_the_channels():
    text = psp8(SILICON, SMALL)
    assert "   1     4   61" in text
    head, rest = text.split("nproj\n", 1)
    first = rest.index("   1                        ")
    block = rest.index("   4\n")
    lines = rest[:first] + rest[block:].replace("   4\n", "   1\n", 1)  # l = 1 is the local potential now
    text = (
        head.replace("   1     4   61", "   1     1   61").replace("     2     1    ", "     2     0    ")
        + "nproj\n"
        + lines
    )
    p = read(text)
    assert p.layout == ((0, 2),) and np.allclose(p.v_local, local(SILICON, p.r), rtol=1e-12)


def test_truncated_files_are_refused_wherever_they_end():
    text = psp8(SILICON, SMALL, True)
    for end in np.linspace(0, text.index("<INPUT>") - 2000, 25).astype(int):
        with pytest.raises(InputError):
            read(text[:end])
