import pytest
from pyscf.dft import libxc

from dftopt.errors import InputError
from dftopt.xc import from_libxc_ids, from_pspxc, from_short_name, functional
from dftopt.xc.file_names import LIBXC


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("PBE", "PBE"),
        (" SLA  PW   PBX  PBC ", "PBE"),
        ("sla+pw+pbx+pbc", "PBE"),
        ("SLA-PW-PBE-PBE", "PBE"),
        (" SLA  PW   PBX  PBC    PBE  Exchange-Correlation functional", "PBE"),
        ("PBESOL", "PBEsol"),
        (" SLA  PW   PSX  PSC", "PBEsol"),
        ("PW                  ", "LDA"),
        ("SLA PW", "LDA"),
        (" SLA  PZ   NOGX NOGC   PZ   Exchange-Correlation functional", "lda_x+lda_c_pz"),
        ("LDA                 ", "lda_x+lda_c_pz"),
        ("PZ", "lda_x+lda_c_pz"),
        (" SLA  LYP  B88  BLYP", "BLYP"),
        ("blyp", "BLYP"),
        ("SLA PW GGX GGC", "PW91"),
        ("PW91", "PW91"),
        ("SLA PZ B88 P86", "BP86"),
        ("BP", "BP86"),
        ("REVPBE", "revPBE"),
        ("SLA PW HHNX PBC", "RPBE"),
        ("SLA PW WCX PBC", "WC"),
        (" SLA  PW   TPSS TPSS", "TPSS"),
        ("SCAN", "SCAN"),
        ("nox+noc+nogx+nogc+scan", "SCAN"),
        ("SLA PW NOGX NOGC", "LDA"),
    ],
)
def test_short_names(text, name):
    assert from_short_name(text) == functional(name)


@pytest.mark.parametrize(
    ("text", "named"),
    [("SLA PW XYZX PBC", "SLA XYZX"), ("SLA PW PBX XYZC", "PW XYZC"), ("nonsense", "'nonsense'"), ("PBE0", "hybrid")],
)
def test_unknown_short_names_are_named(text, named):
    with pytest.raises(InputError, match=named):
        from_short_name(text)


def test_libxc_numbers():
    assert from_libxc_ids(101, 130) == from_pspxc(-101130) == from_pspxc(11) == functional("PBE")
    assert from_pspxc(-1012) == from_pspxc(7) == functional("LDA")
    assert from_pspxc(-20) == from_libxc_ids(20) == from_pspxc(1) == functional("lda_xc_teter93")
    assert from_pspxc(-106131) == functional("BLYP")
    assert from_pspxc(-109134) == functional("PW91")
    assert from_pspxc(-263267) == functional("SCAN")
    assert from_pspxc(-497498) == functional("r2SCAN")
    assert from_libxc_ids(0) == functional("none")
    assert {name: libxc.XC_CODES[name.upper()] for name in LIBXC.values()} == {v: k for k, v in LIBXC.items()}


@pytest.mark.parametrize(("number", "named"), [(-101999, "999"), (-999130, "999"), (8, "ixc = 8")])
def test_unknown_numbers_are_named(number, named):
    with pytest.raises(InputError, match=named):
        from_pspxc(number)
