"""A journal loses nothing that was finished, and belongs to one calculation."""

import json
import os

import numpy as np
import pytest
from ase.build import bulk

from dftopt.calculator.files import replacing, write_text
from dftopt.calculator.journal import Journal, key_of
from dftopt.errors import InputError

SETTINGS = {"task": "label", "parameters": {"ecut": 300.0, "kpts": (2, 2, 2)}}


@pytest.fixture
def filled(tmp_path):
    journal = Journal(tmp_path / "work.journal", SETTINGS)
    for i in range(3):
        journal.add(f"piece {i}", {"energy": 0.1 + i, "forces": np.full((2, 3), 1 / 3)})
    return journal


def test_numbers_come_back_exactly(filled):
    again = Journal(filled.path, SETTINGS)
    assert len(again) == 3 and "piece 1" in again
    assert again["piece 1"]["energy"] == 1.1 and again["piece 1"]["forces"][0][0] == 1 / 3


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_cut_short_is_done_again(filled, cut):
    os.truncate(filled.path, filled.path.stat().st_size - cut)
    again = Journal(filled.path, SETTINGS)
    assert list(again.pieces) == ["piece 0", "piece 1"]
    again.add("piece 2", {"energy": 7.0})
    assert Journal(filled.path, SETTINGS)["piece 2"] == {"energy": 7.0}


def test_every_length_of_a_killed_write_is_readable(filled):
    whole = filled.path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole)):
        filled.path.write_bytes(whole[:length])
        assert len(Journal(filled.path, SETTINGS)) == max(0, sum(length >= end for end in ends) - 1)


def test_a_damaged_piece_is_done_again_and_the_others_are_kept(filled):
    lines = filled.path.read_text().splitlines()
    lines[2] = lines[2].replace("1.1", "1.2")
    filled.path.write_text("\n".join(lines) + "\n")
    again = Journal(filled.path, SETTINGS)
    assert set(again.pieces) == {"piece 0", "piece 2"}


def test_other_settings_are_refused_by_name(filled):
    other = {"task": "label", "parameters": {"ecut": 400.0, "kpts": (2, 2, 2)}}
    with pytest.raises(InputError, match=r"parameters.ecut is 300.0 there and 400.0 here"):
        Journal(filled.path, other)


@pytest.mark.parametrize("content", ["", "{}\n", "garbage\n", json.dumps({"check": "0", "content": {}}) + "\n"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.journal").write_text(content)
    if content:
        with pytest.raises(InputError, match="not a journal"):
            Journal(tmp_path / "x.journal", SETTINGS)
    else:
        assert len(Journal(tmp_path / "x.journal", SETTINGS)) == 0


def test_a_key_changes_with_every_number():
    atoms = bulk("Si", a=5.43)
    keys = {key_of(atoms), key_of(atoms, ecut=300.0), key_of(atoms, ecut=301.0)}
    for change in (
        lambda a: a.positions.__setitem__((1, 2), a.positions[1, 2] + 1e-14),
        lambda a: a.cell.__setitem__((0, 0), 1e-12),
        lambda a: a.set_atomic_numbers([14, 32]),
        lambda a: a.set_initial_magnetic_moments([0, 1]),
        lambda a: a.set_pbc([True, True, False]),
    ):
        changed = atoms.copy()
        change(changed)
        keys.add(key_of(changed))
    assert len(keys) == 8
    assert key_of(atoms) == key_of(atoms.copy())


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with replacing(path) as part:
        assert part.suffix == ".json"
        part.write_text("new")
    assert path.read_text() == "new"
