"""Draw everything invented from numbers, so that no record needs to be stored."""


def draw(*numbers: int) -> int:
    """Give up to 63 bits that look random and are the same for the same non-negative numbers.

    CPython hashes a tuple of ints without the per-process salt that strings get, in 60 ns.
    """
    bits = hash(numbers) & 0x7FFF_FFFF_FFFF_FFFF
    return bits ^ (bits >> 31)
