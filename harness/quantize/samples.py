"""Which samples of a set calibration sees."""

from __future__ import annotations

from math import floor

import numpy as np

from harness.datasets import DataError


def chosen(n: int, wanted: int, share: float, seed: int, first: bool = False) -> tuple[int, ...]:
    """The numbers of ``wanted`` samples of a set of ``n``, from 0, ascending; with ``first`` those at its beginning.

    More samples of the same seed hold all of fewer. Raises ``DataError`` where ``wanted`` is over ``share`` of the set.
    """
    # A share such as 0.29 of 100 is a hair under 29.
    most = floor(n * share + 1e-9)
    if not 1 <= wanted <= most:
        raise DataError(
            f"calibration asks for {wanted} samples, of a set of {n} that gives at most {most} (a share of {share:g}); "
            "ask for fewer, or declare another set to calibrate on"
        )
    if first:
        return tuple(range(wanted))
    # The numbers of RandomState are the same in every version of numpy.
    drawn = np.random.RandomState(seed).permutation(n)[:wanted]
    return tuple(sorted(drawn.tolist()))
