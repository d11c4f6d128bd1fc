"""Prime numbers: telling them, and searching for a safe one. Pure arithmetic; no secret depends on its timing.

A safe prime is 2q + 1 with q prime, too: then the group has no small parts that a shared secret could
fall into. They are rare (of 2048 bits, one odd number q in about 760 000), so a window of numbers is first
sieved by all small primes, for q and 2q + 1 at once; what is left costs an exponentiation each.

Source: FIPS 186-5 appendix B.3 (Miller-Rabin); RFC 7919 section 3 (why safe primes, and generator 2).
"""

from __future__ import annotations

import functools
import math
import secrets
from collections.abc import Callable, Iterator

_SIEVED = 1 << 20
"""Primes below are sieved by: twice as many would take longer to sieve than they save."""

_WINDOW = 1 << 16
_STEP = 12
_ROUNDS = 32
"""Of a prime that is made; each lets less than one composite in four pass."""


def is_prime(number: int, *, rounds: int) -> bool:
    """Tell whether a number is prime, by Miller and Rabin with random bases.

    Args:
        number: any integer.
        rounds: a composite passes each with a chance below 1/4.
    """
    if number < 4:
        return number in (2, 3)
    if not number & 1:
        return False
    twos = ((number - 1) & (1 - number)).bit_length() - 1
    odd = (number - 1) >> twos
    return all(_passes(number, odd, twos, 2 + secrets.randbelow(number - 3)) for _ in range(rounds))


def find_safe_prime(bits: int, *, progress: Callable[[float], object] = lambda chance: None) -> int:
    """Search for a safe prime of which 2 generates the large part: about a minute for 2048 bits.

    The search may be interrupted at any time, by an exception from `progress` or Ctrl+C.

    Args:
        bits: its size, at least 64.
        progress: called before each candidate with the chance that the search would have ended by
            now, from 0 towards 1: nobody can know how much of it is left.

    Returns:
        The prime. Its two highest bits are set.
    """
    # Both q and 2q + 1 are free of small factors: each is then this much likelier to be prime.
    likely = math.exp(0.5772156649) * math.log(_SIEVED) / (bits * math.log(2))
    for tried, q in enumerate(_candidates(bits - 1)):
        progress(-math.expm1(-tried * min(likely, 1.0) ** 2))
        prime = 2 * q + 1
        # One cheap base first: nearly all candidates end here.
        if pow(2, q - 1, q) == 1 and is_prime(q, rounds=_ROUNDS) and is_prime(prime, rounds=_ROUNDS):
            return prime
    raise AssertionError("the candidates do not end")


def _passes(number: int, odd: int, twos: int, base: int) -> bool:
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def _candidates(bits: int) -> Iterator[int]:
    """Random numbers q for which neither q nor 2q + 1 has a small factor; they do not end."""
    while True:
        # 2q + 1 = 23 modulo 24: two is a square modulo such a prime, so it generates the large part.
        start = secrets.randbits(bits) | 3 << (bits - 2)
        start += 11 - start % _STEP
        free = bytearray(b"\x01") * _WINDOW
        for small in _small_primes():
            # start + 12 i = 0 or, for 2q + 1, = (small - 1) / 2 modulo the small prime
            inverse = pow(_STEP, -1, small)
            for target in (0, small >> 1):
                first = (target - start) * inverse % small
                free[first::small] = bytes(len(range(first, _WINDOW, small)))
        yield from (
            start + _STEP * index for index, left in enumerate(free) if left and _fits(start, index, bits)
        )


def _fits(start: int, index: int, bits: int) -> bool:
    return (start + _STEP * index).bit_length() == bits


@functools.cache
def _small_primes() -> tuple[int, ...]:
    """The primes from 5 on; 2 and 3 are done with by the step."""
    sieve = bytearray(b"\x01") * _SIEVED
    for number in range(2, math.isqrt(_SIEVED) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, _SIEVED, number)))
    return tuple(number for number in range(5, _SIEVED) if sieve[number])
