"""The counter-based generator: published answers, and the statistics of what is made of its words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dftopt.macro import random

# kat_vectors of the Random123 library (D. E. Shaw Research), philox4x32: rounds, counter, key, answer
KNOWN = """
7 00000000 00000000 00000000 00000000 00000000 00000000 5f6fb709 0d893f64 4f121f81 4f730a48
7 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 5207ddc2 45165e59 4d8ee751 8c52f662
7 243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 4dfccaba 190a87f0 c47362ba b6b5242a
10 00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
10 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
10 243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""


@pytest.mark.parametrize("line", KNOWN.strip().splitlines())
def test_published_answers(line):
    rounds, *numbers = line.split()
    numbers = [np.uint32(int(x, 16)) for x in numbers]
    out = random.philox(tuple(map(jnp.uint32, numbers[:4])), tuple(map(jnp.uint32, numbers[4:6])), int(rounds))
    assert [int(x) for x in out] == [int(x) for x in numbers[6:]]


@pytest.fixture(scope="module")
def words():
    """(streams, counters, 4) words of neighbouring keys and counters."""
    keys = random.split(jax.random.key(3), 4)
    index = jnp.arange(1 << 16, dtype=jnp.uint32)
    return np.stack([np.stack(random.words(random.key_words(k), index), -1) for k in keys])


def test_every_byte_is_uniform(words):
    for shift in (0, 8, 16, 24):
        for w in range(4):
            counts = np.bincount(((words[..., w] >> shift) & 255).ravel(), minlength=256)
            assert stats.chisquare(counts).pvalue > 1e-4


def test_words_counters_and_streams_are_uncorrelated(words):
    u = words / 2.0**32 - 0.5
    n = u[0, :, 0].size
    pairs = [
        (u[0, :, 0], u[0, :, 1]),
        (u[0, :-1, 0], u[0, 1:, 0]),
        (u[0, :, 2], u[1, :, 2]),
        (u[2, :-64, 1], u[2, 64:, 1]),
    ]
    for a, b in pairs:
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(n)
        joint = np.histogram2d(a, b, bins=16, range=[[-0.5, 0.5]] * 2)[0]
        assert stats.chisquare(joint.ravel()).pvalue > 1e-4
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(bits.size)


def test_normal_numbers():
    x = np.asarray(random.normals(random.key_words(jax.random.key(0)), (300, 1001), 5)).ravel()
    assert stats.kstest(x, "norm").pvalue > 1e-4 and abs(stats.kurtosis(x)) < 4 * np.sqrt(24 / x.size)
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(x.size)
    other = np.asarray(random.normals(random.key_words(jax.random.key(0)), (300, 1001), 6)).ravel()
    assert abs(np.corrcoef(x, other)[0, 1]) < 4 / np.sqrt(x.size)


def test_uniform_below_and_threshold():
    word = jnp.array([0, 1 << 31, 2**32 - 1], jnp.uint32)
    u = np.asarray(random.uniform(word))
    assert 0 < u[0] < 2e-10 and u[1] == 0.5 and u[2] <= 1
    assert list(random.below(word, 36)) == [0, 18, 35]
    assert list(random.threshold(jnp.array([0.0, 0.25, 1.0]))) == [0, 1 << 30, 2**32 - 1]


def test_keys_differ_and_repeat():
    a, b = random.split(jax.random.key(0), 100), random.split(jax.random.key(1), 100)
    data = np.concatenate([jax.random.key_data(k) for k in (a, b)])
    assert len(np.unique(data, axis=0)) == 200
    np.testing.assert_array_equal(jax.random.key_data(random.child(jax.random.key(0), 7)), jax.random.key_data(a[7]))
    raw = random.key_words(jax.random.PRNGKey(4))
    assert [int(x) for x in raw] == [int(x) for x in random.key_words(jax.random.key(4))]
