"""Philox4x32 in NumPy: what the masks of the Triton kernels are made of.

Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
"""

import numpy as np

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)


def philox(counter, key, rounds):
    """Return four words of 32 bits for each counter, of 128 bits in four words.

    `counter` has shape (4, n), `key` is a pair.
    """
    c = [np.asarray(word, np.uint64) for word in counter]
    k = [int(word) for word in key]
    for _ in range(rounds):
        products = [c[0] * _MULTIPLIERS[0], c[2] * _MULTIPLIERS[1]]
        (high0, low0), (high1, low1) = (
            (p >> np.uint64(32), p & _LOW) for p in products
        )
        c = [high1 ^ c[1] ^ np.uint64(k[0]), low1, high0 ^ c[3] ^ np.uint64(k[1]), low0]
        k = [(word + step) % 2**32 for word, step in zip(k, _WEYL, strict=True)]
    return np.stack(c).astype(np.uint32)


def numbers(seed, n, *, places, rounds):
    """Return n numbers of 16 bits, as the kernels give them to places in memory.

    A block of eight times `places` elements has `places` counters; the i-th eighth of
    it takes the i-th 16 bits of each counter's words.
    """
    blocks = -(-n // (8 * places))
    count = np.arange(blocks * places, dtype=np.uint64)
    zero = np.zeros_like(count)
    seed = int(seed) % 2**64
    words = philox(
        [count & _LOW, count >> np.uint64(32), zero, zero],
        [seed % 2**32, seed >> 32],
        rounds,
    )
    halves = np.stack([words & 0xFFFF, words >> 16], axis=1).reshape(8, blocks, places)
    return halves.swapaxes(0, 1).ravel()[:n]
