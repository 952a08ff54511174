"""Memory that is asked for over and over, kept instead of given back and taken again."""

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""glibc's ``malloc.h``: https://man7.org/linux/man-pages/man3/mallopt.3.html."""

MOST, AHEAD = 2**31 - 1, 64 * 2**20
"""Bytes that the heap may keep free, and by how many it grows at a time."""


def keep_memory() -> bool:
    """Make this process keep the memory that it frees, and return whether it will.

    Each layer's output is a block of megabytes, which glibc asks the kernel for and gives back every time; the kernel
    then clears each of its pages again. PyTorch keeps a GPU's memory by itself, but not the CPU's. Call it before there
    is much to do. Where the C library is another one, nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return False
    return all(
        mallopt(option, value) for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, MOST), (M_TOP_PAD, AHEAD))
    )
