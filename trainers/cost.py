"""What a retrain after an erasure costs: the share of a full training's work, before anything is trained. Pure.

K subjects are erased in one batch; each lies in one of S shards, by a keyed hash, so independently and uniformly. A shard is trained again
when one of them lies in it. The number H of such shards is an occupancy number (Johnson and Kotz 1977, *Urn Models*, section 3.1):

    E[H]   = S (1 - (1 - 1/S)^K)
    Var[H] = S (S - 1) (1 - 2/S)^K + S (1 - 1/S)^K - S^2 (1 - 1/S)^(2K)

and with shards of equal size the share is H / S. Shards differ a little in size; that changes the share's variance, not its mean.

A replayed training goes on from the last checkpoint before the first use of an erased row. K erased rows lie at places of the first epoch
that a hash has drawn, so independently and uniformly. With E epochs and n checkpoints that divide the first one into n + 1 equal parts the
checkpoint after i parts stands with the probability (1 - i / (n + 1))^K, and each that stands saves 1 / (E (n + 1)) of the work:

    F = 1 - 1 / (E (n + 1)) * sum_{i=1..n} (1 - i / (n + 1))^K   ~   1 - 1 / (E (K + 1)) + c / 2,   c = 1 / (E (n + 1))

The right side is the sum by the trapezoidal rule; for K = 1 both are the same.
"""

from __future__ import annotations

import math

__all__ = ["expected_fraction", "expected_replay", "fraction_sd", "replay_sd", "worth_it"]


def expected_fraction(shards: int, erased: int) -> float:
    """Expected share of the rows that is trained again when ``erased`` subjects are erased in one batch, in [0, 1].

    Source: Bourtoule et al. 2021, arXiv:1912.03817, section V (their expectation, for a batch instead of a stream).

    >>> [round(expected_fraction(5, erased), 3) for erased in (0, 1, 5, 10)]
    [0.0, 0.2, 0.672, 0.893]
    >>> expected_fraction(1, 3)
    1.0
    """
    _check(shards, erased)
    return 1.0 - (1.0 - 1.0 / shards) ** erased


def fraction_sd(shards: int, erased: int) -> float:
    """Standard deviation of that share when all shards are of one size.

    >>> fraction_sd(5, 1)
    0.0
    >>> round(fraction_sd(5, 5), 3)
    0.143
    """
    _check(shards, erased)
    s = float(shards)
    variance = s * (s - 1) * (1 - 2 / s) ** erased + s * (1 - 1 / s) ** erased - s * s * (1 - 1 / s) ** (2 * erased)
    return math.sqrt(max(0.0, variance)) / s


def worth_it(shards: int) -> int:
    """The largest batch of subjects for which less than half of the rows is trained again: about 0.69 S.

    >>> [worth_it(shards) for shards in (2, 5, 20, 50)]
    [0, 3, 13, 34]
    """
    if shards < 2:
        return 0
    exact = math.log(0.5) / math.log(1 - 1 / shards)
    return math.ceil(exact) - 1


def expected_replay(epochs: int, erased: int, checkpoints: int) -> float:
    """Expected share of a replayed training that is done again when ``erased`` **rows** are erased in one batch, in [0, 1].

    >>> [round(expected_replay(1, rows, 99), 3) for rows in (0, 1, 5, 10)]
    [0.01, 0.505, 0.838, 0.914]
    >>> round(expected_replay(10, 1, 99), 3)  # hardly worth it: the first epoch uses every row
    0.951
    >>> expected_replay(1, 1, 9) == 1 - 1 / 2 + 0.1 / 2
    True
    """
    if epochs < 1 or erased < 0 or checkpoints < 0:
        raise ValueError("epochs must be 1 or more, erased and checkpoints 0 or more")
    parts = checkpoints + 1
    return 1.0 - math.fsum((1 - part / parts) ** erased for part in range(1, parts)) / (epochs * parts)


def replay_sd(epochs: int, erased: int, checkpoints: int) -> float:
    """Standard deviation of that share.

    >>> round(replay_sd(1, 1, 999), 3)  # of a uniform draw: sqrt(1 / 12)
    0.289
    """
    parts = checkpoints + 1
    mean = math.fsum((1 - part / parts) ** erased for part in range(1, parts))
    square = math.fsum((2 * part - 1) * (1 - part / parts) ** erased for part in range(1, parts))  # E[J^2] = sum (2j - 1) P(J >= j)
    return math.sqrt(max(0.0, square - mean * mean)) / (epochs * parts)


def _check(shards: int, erased: int) -> None:
    if shards < 1 or erased < 0:
        raise ValueError("shards must be 1 or more, erased 0 or more")
