import numpy as np
import pytest
from ase.build import bulk, molecule

from dftopt.atoms.structure import from_ase
from dftopt.errors import InputError
from dftopt.properties.slices import cut


def wave(structure, G, n):
    f = np.stack(np.meshgrid(*[np.arange(m) / m for m in n], indexing="ij"), axis=-1)
    return np.cos(2 * np.pi * f @ np.array(G) + 0.4)


def test_values_are_those_of_the_field():
    s = from_ase(bulk("Si", a=5.43))
    field = wave(s, (1, -2, 1), (18, 18, 20))
    section = cut(s, field, npoints=41)
    points = section.origin + section.x[:, None, None] * section.axes[0] + section.y[None, :, None] * section.axes[1]
    exact = np.cos(2 * np.pi * points @ np.linalg.inv(s.cell) @ np.array([1, -2, 1]) + 0.4)
    np.testing.assert_allclose(section.values, exact, atol=2e-4)


@pytest.mark.parametrize(
    ("atoms", "normal"),
    [(bulk("Si", a=5.43), (0, 1, 1)), (bulk("Al", a=4.05), (0, 0, 1)), (bulk("NaCl", "rocksalt", a=5.64), (0, 0, 1))],
)
def test_default_plane_holds_the_bonds(atoms, normal):
    s = from_ase(atoms)
    section = cut(s, np.zeros((4, 4, 4)), npoints=5)
    found = np.sort(np.abs(np.cross(*section.axes)))
    np.testing.assert_allclose(found, np.sort(np.array(normal)) / np.linalg.norm(normal), atol=1e-9)
    np.testing.assert_allclose(section.axes @ section.axes.T, np.eye(2), atol=1e-12)
    assert {a[0] for a in section.atoms} == set(s.symbols)
    for symbol, x, y in section.atoms:  # each is an atom or an image of one
        f = (section.origin + np.array([x, y]) @ section.axes) @ np.linalg.inv(s.cell)
        away = [f - g for g, e in zip(s.frac, s.symbols, strict=True) if e == symbol]
        assert np.min([np.abs(d - np.round(d)).max() for d in away]) < 1e-6


def test_plane_through_given_atoms():
    water = molecule("H2O", cell=[7.0, 8.0, 9.0], pbc=True)
    water.center()
    s = from_ase(water)
    section = cut(s, np.zeros((4, 4, 4)), atoms=(0, 1, 2), size=10.0, npoints=3)
    assert sorted(a[0] for a in section.atoms) == ["H", "H", "O"]
    assert section.x[0] == -5 and section.x[-1] == 5
    (oxygen,) = [a for a in section.atoms if a[0] == "O"]
    assert oxygen[1] == pytest.approx(0, abs=1e-9)  # the molecule stands upright


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"atoms": (0, 1)}, "three indices"),
        ({"atoms": (0, 1, 7)}, "three indices"),
        ({"atoms": (0, 1, 1)}, "lie on one line"),
        ({"atoms": (0, 0, 1)}, "lie on one line"),
        ({"size": -1.0}, "size = -1.0"),
        ({"size": np.nan}, "size"),
    ],
)
def test_wrong_planes_are_named(options, words):
    with pytest.raises(InputError, match=words):
        cut(from_ase(bulk("Si", a=5.43)), np.zeros((4, 4, 4)), **options)
    with pytest.raises(InputError, match="one spin at a time"):
        cut(from_ase(bulk("Si", a=5.43)), np.zeros((1, 4, 4, 4)))
