"""Chance that depends on nothing but its seed, a name and a number: the same city at every start.

Numbers come from SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), which makes a
well-mixed value of any counter; so any moment can be computed without those before it.
"""

from __future__ import annotations

import hashlib
from math import sqrt

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Chance:
    """Chance for one thing (a meter, a bin, the weather) of a city with a seed."""

    def __init__(self, seed: int, *names: str) -> None:
        text = "\0".join([str(seed), *names]).encode()
        self._key = np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))

    def uniform(self, counters: Ints | int, stream: int = 0) -> Floats:
        """Evenly from [0, 1), one for each counter. Streams are independent of one another."""
        with np.errstate(over="ignore"):
            z = np.asarray(counters, np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z = z + self._key + np.uint64(stream) * np.uint64(0xD1B54A32D192ED03)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
        result: Floats = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return result

    def normal(self, counters: Ints | int, stream: int = 0) -> Floats:
        """About normal with mean 0 and deviation 1: four uniform ones added up, so never beyond ±3.5."""
        total = sum(self.uniform(counters, 4 * stream + part + 1000) for part in range(4))
        result: Floats = (np.asarray(total) - 2.0) * sqrt(3.0)
        return result

    def one(self, low: float, high: float, stream: int) -> float:
        """One number of this thing, for ever the same."""
        return low + (high - low) * float(self.uniform(0, stream + 500))
