"""UPF files of both versions: what is read, what is refused, and what garbage gives."""

import random
import re

import numpy as np
import pytest
from potential_files import core, local, logarithmic_mesh, projectors, psp8, uniform_mesh, upf1, upf2, valence

from dftopt.atoms import gth, potentials
from dftopt.atoms.tabulated import Tabulated
from dftopt.errors import InputError

SILICON = gth.load("Si", "GTH-PADE")
SMALL = uniform_mesh(12.0, 0.1)


def read(text: str, name: str = "Si.upf") -> Tabulated:
    return potentials.from_bytes(text.encode(), name)


def refused(text: str, name: str = "Si.upf") -> str:
    with pytest.raises(InputError) as error:
        read(text, name)
    assert name in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("with_core", [False, True])
@pytest.mark.parametrize(
    ("write", "version", "mesh"), [(upf2, "UPF 2", uniform_mesh()), (upf1, "UPF 1", logarithmic_mesh())]
)
def test_everything_is_read_in_hartree(write, version, mesh, with_core):
    p = read(write(SILICON, mesh, with_core))
    r = mesh[0]
    assert (p.element, p.name, p.charge, p.format, p.xc) == ("Si", "Si.upf", 4.0, version, "PBE")
    assert np.allclose(p.r, r, rtol=1e-14, atol=0) and np.allclose(p.dr, mesh[1], rtol=1e-14, atol=0)
    assert np.allclose(p.v_local, local(SILICON, r), rtol=1e-13, atol=0)
    assert p.layout == SILICON.layout
    inside = r < 10
    for channel, (l, values, h) in zip(p.channels, projectors(SILICON, r), strict=True):
        assert channel.l == l and np.allclose(channel.h, h, rtol=1e-14, atol=0)
        assert np.allclose(channel.values[:, inside], values[:, inside], rtol=1e-13, atol=1e-300)
    assert np.allclose(p.density, valence(SILICON, r), rtol=1e-12, atol=1e-99)
    assert np.allclose(p.core, core(r), rtol=1e-12, atol=1e-99) if with_core else p.core is None
    assert p.suggested_cutoff == (15.0 if version == "UPF 2" else 0.0)  # 30 Ry
    assert p.r[p.points - 1] == pytest.approx(10.0, abs=0.2) and p.points % 2 == 1


def test_transforms_end_at_ten_bohr_so_that_the_tail_of_a_file_does_not_matter():
    r, dr = uniform_mesh(25.0)
    noisy = lambda end: upf2(SILICON, (r[: end * 100 + 1], dr[: end * 100 + 1]), tail=-1.8e-6)  # as an ONCV file has it
    q = np.array([0.0, 1.0, 3.0])
    at = {end: read(noisy(end)).transforms(q)["local"] for end in (6, 12, 15, 25)}
    assert np.array_equal(at[12], at[15]) and np.array_equal(at[12], at[25])
    exact = 4 * np.pi * -1.8e-6 * (10.0**2 - 6.0**2) / 2  # int r^2 (-1.8e-6 / r) dr between 6 and 10 bohr
    assert at[12][0] - at[6][0] == pytest.approx(exact, rel=2e-3)  # the mesh ends one point beyond 10
    assert exact * 4 * 8 / 270 == pytest.approx(-8.6e-5, rel=1e-2)  # hartree, for the two atoms of silicon


def test_spaces_case_and_fortran_numbers_do_not_matter():
    text = upf2(SILICON, SMALL)
    p = read(text)
    spoiled = text.replace("E+00", "D+00").replace('element="Si"', 'element=" SI"').replace("\n", "\r\n")
    spoiled = spoiled.replace('size="121"', 'size="  121 "').replace('is_paw="F"', 'is_paw=".FALSE."')
    spoiled = re.sub(r"(\d)E(-1\d\d) ", r"\1\2 ", spoiled)  # 1.5-104
    q = read("\n\n  " + spoiled + "<!-- something more -->")
    assert np.array_equal(p.v_local, q.v_local) and np.array_equal(p.channels[0].values, q.channels[0].values)
    assert p.element == q.element == "Si"


def test_free_text_need_not_be_xml():
    text = upf2(SILICON, SMALL).replace("free text, a < b & c > d", "Böhm & Söhne <a@b.c> <PP_R> \x01")
    assert read(text).charge == 4
    assert potentials.from_bytes(text.encode("latin-1"), "Si.upf").charge == 4


def test_psp8_text_in_a_file_named_upf_is_recognized():
    assert read(psp8(SILICON), "Si.upf").format == "psp8"


HEADER = {
    "US": ({"is_ultrasoft": "T"}, 'ultrasoft potential (is_ultrasoft="T"'),
    "USPP": ({"pseudo_type": "USPP"}, "ultrasoft"),
    "PAW": ({"is_paw": ".true.", "pseudo_type": "PAW"}, 'PAW data set (is_paw=".true."'),
    "spin-orbit": ({"has_so": "T"}, 'spin-orbit coupling (has_so="T"'),
    "full": ({"relativistic": "full"}, "spin-orbit"),
    "coulomb": ({"is_coulomb": "T"}, "is_coulomb"),
    "unknown": ({"pseudo_type": "ZZ"}, "pseudo_type"),
    "element": ({"element": "Xx"}, "no chemical element"),
    "charge": ({"z_valence": "15"}, "valence charge is 15"),
    "no charge": ({"z_valence": "four"}, "valence charge"),
    "other charge": ({"z_valence": "3.0"}, "-4/r hartree instead of -3/r"),
    "mesh": ({"mesh_size": "120"}, 'size="121"'),
    "huge mesh": ({"mesh_size": "2000000000"}, "0 to 100000"),
    "negative": ({"number_of_proj": "-2"}, "number_of_proj"),
    "projectors": ({"number_of_proj": "4"}, "PP_HEADER says 4"),
}


@pytest.mark.parametrize("what", HEADER)
def test_headers_that_are_refused(what):
    attributes, message = HEADER[what]
    text = refused(upf2(SILICON, SMALL, **attributes))
    assert message in text and "line" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<PP_NONLOCAL>", "<PP_NONLOCAL><PP_AUGMENTATION/>"), "is_ultrasoft"),
        (("</UPF>", "<PP_PAW/></UPF>"), "is_paw"),
        (("</UPF>", "<PP_SPIN_ORB/></UPF>"), "has_so"),
        (("</UPF>", ""), "truncated"),
        (("</PP_MESH>", ""), "damaged XML"),
        (("<PP_LOCAL", "<PP_LOKAL"), "damaged XML"),
        (('angular_momentum="1"', 'angular_momentum="4"'), "l = 4"),
        (('angular_momentum="1"', 'angular_momentum="x"'), "no angular_momentum"),
        (('index="3" angular_momentum="1"', 'index="3" angular_momentum="0"'), None),
        (("<UPF", "<!DOCTYPE x [<!ENTITY a 'b'>]><UPF"), "document type"),
    ],
)
def test_files_that_are_refused(change, message):
    text = upf2(SILICON, SMALL).replace(*change)
    if message is None:  # three of s are legal
        assert read(text).layout == ((0, 3),)
    else:
        assert message in refused(text)


def test_a_wrong_number_is_found_by_its_line():
    text = upf2(SILICON, SMALL)
    at = text.index("<PP_LOCAL") + 1000
    at = text.index(" -", at) + 1
    for wrong in ("nan", "1.0e999", "-0.1.2", "x"):
        spoiled = text[:at] + wrong + text[at + len(text[at:].split()[0]) :]
        message = refused(spoiled)
        line = text.count("\n", 0, at) + 1
        assert f"line {line}:" in message and wrong in message and "<PP_LOCAL>" in message


def test_truncated_files_are_refused_wherever_they_end():
    for text in (upf2(SILICON, SMALL), upf1(SILICON, SMALL)):
        for end in np.linspace(0, len(text) - 300, 23).astype(int):
            assert "pseudopotential" in refused(text[:end])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("   NC  ", "   US  "), "ultrasoft potential (type US in PP_HEADER)"),
        (("   NC  ", "   PAW "), "PAW"),
        (("</PP_RHOATOM>\n", "</PP_RHOATOM>\n<PP_ADDINFO>\n</PP_ADDINFO>\n"), "PP_ADDINFO"),
        (("  121      ", "  122      "), "121 numbers instead of 122"),
        (("  121      ", "  -1       "), "mesh points is -1"),
        (
            ("    4                  Number of nonzero", "    9                  Number of nonzero"),
            "<PP_DIJ> is truncated",
        ),
        (("    1    1 ", "    1    7 "), "couples projectors 1 and 7 of 3"),
        (("<PP_LOCAL>", "<PP_LOKAL>"), "<PP_LOCAL> is missing"),
        (("</PP_LOCAL>", "</PP_LOKAL>"), "not closed"),
    ],
)
def test_files_of_version_1_that_are_refused(change, message):
    text = upf1(SILICON, SMALL)
    assert change[0] in text
    assert message in refused(text.replace(*change))


def test_semilocal_files_without_projectors_are_refused():
    text = upf2(SILICON, SMALL, number_of_proj="0", pseudo_type="SL")
    text = re.sub(r"<PP_NONLOCAL>.*</PP_NONLOCAL>", "<PP_SEMILOCAL></PP_SEMILOCAL>", text, flags=re.DOTALL)
    assert "PP_SEMILOCAL" in refused(text)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "neither UPF"),
        (b"\0\1\2" * 50, "binary"),
        (b"<paw_setup version='0.6'>", "PAW data set in XML"),
        (b"<?xml version='1.0'?><psml version='1.1'>", "PSML"),
        (b"<qe_pp:pseudo>", "new schema"),
        (b"Si GTH-PADE-q4\n    2    2\n", "neither UPF"),
        (b"hello", "neither UPF"),
    ],
)
def test_other_files_are_refused(raw, message):
    with pytest.raises(InputError, match=message):
        potentials.from_bytes(raw, "a.upf")


# ------------------------------------------------------------------------------------------------------ garbage

WORDS = (
    "nan",
    "-1",
    "0",
    "1e400",
    "99999999999999999999",
    "1.5-104",
    "<",
    ">",
    "&",
    "\0",
    "é",
    "<PP_R>",
    "</UPF>",
    "",
    "T",
    "-7.5",
)


def mutated(text: str, rng: random.Random) -> bytes:
    """A file with a few accidents."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        a, b = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        if rng.random() < 0.5:  # most of a file is numbers; the rest is more interesting
            a = text.find("PP_", a) + rng.randrange(-3, 12) if "8\n" not in text[:60] else rng.randrange(500)
            a = min(max(a, 0), len(text))
        kind, few = rng.randrange(7), a + rng.randrange(30)
        if kind == 0:
            text = text[:a] + rng.choice(WORDS) + text[few:]
        elif kind == 1:
            text = text[:a] + text[few:]
        elif kind == 2:
            text = text[:a] + text[a:few] + text[a:]
        elif kind == 3:
            text = text[:a] + chr(rng.randrange(1, 255)) + text[a + 1 :]
        elif kind == 4:
            text = text[: max(a, b)]
        elif kind == 5:
            text = text[:a] + text[b:]
        else:
            digits = [m.start() for m in re.finditer(r"\d", text[:600])]
            if digits:
                i = rng.choice(digits)
                text = text[:i] + rng.choice("0123456789-") + text[i + 1 :]
        text = text or " "
    return text.encode("utf-8", "replace")


@pytest.mark.parametrize("count", [120, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("write", [upf2, upf1, psp8])
def test_garbage_gives_an_input_error_or_a_potential(write, count):
    text = write(SILICON, uniform_mesh(8.0, 0.4), True)
    rng = random.Random(7)
    outcomes = {"read": 0, "refused": 0}
    for i in range(count):
        raw = mutated(text, rng)
        try:
            p = potentials.from_bytes(raw, f"{i}.upf")
        except InputError as error:
            outcomes["refused"] += 1
            assert "\n" not in str(error) and len(str(error)) < 700
        else:
            outcomes["read"] += 1
            assert len(p.r) < 100 and all(np.all(np.isfinite(c.values)) for c in p.channels)
            p.transforms(np.array([0.0, 1.0]))
    assert outcomes["refused"] > count / 4, outcomes
