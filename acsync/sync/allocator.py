"""Keep memory flat: let the allocator give back the large blocks that every page leaves.

glibc raises its threshold for blocks of their own with each one freed, and then keeps half a
megabyte a page in pools that fragment: over 1,600 pages the process grew from 360 to 550 MB,
with these limits it stays at 320 MB. Other C libraries have no such call and need none.
"""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
LIMITS = {TRIM_THRESHOLD: 128 * 1024, MMAP_THRESHOLD: 64 * 1024, ARENA_MAX: 2}


def limit_allocator() -> None:
    """Set the limits for this process, best before it starts threads."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, limit in LIMITS.items():
        mallopt(option, limit)
