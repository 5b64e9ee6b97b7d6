"""The order of accounts in a heat map: neighbours are alike, and outliers come last.

The order is that of the leaves of a tree: the two clusters with the smallest mean distance are merged until one is
left. At each merge the larger cluster comes first, so a single account that stands out ends at the edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Cluster = tuple[str, ...]


def order_accounts(accounts: Sequence[str], distances: Mapping[tuple[str, str], float]) -> tuple[str, ...]:
    """Return the accounts in the order of the tree. Pairs may be in either order; a missing one is distant.

    The time grows with the cube of the number: 0.1 s for 100 accounts.
    """
    clusters: list[Cluster] = [(name,) for name in sorted(accounts)]
    between = _build_matrix(clusters, distances)
    while len(clusters) > 1:
        first, second = _find_closest(between)
        one, other = clusters[first], clusters[second]
        _merge_rows(between, first, second, len(one), len(other))
        # Of equal sizes the one whose first name is smaller comes first: the order must not depend on the merges.
        clusters[first] = one + other if (-len(one), one) <= (-len(other), other) else other + one
        del clusters[second]
    return clusters[0] if clusters else ()


def _build_matrix(clusters: Sequence[Cluster], distances: Mapping[tuple[str, str], float]) -> list[list[float]]:
    names = [cluster[0] for cluster in clusters]
    return [
        [distances.get((one, other), distances.get((other, one), 1.0)) if one != other else 0.0 for other in names]
        for one in names
    ]


def _find_closest(between: Sequence[Sequence[float]]) -> tuple[int, int]:
    best, closest = float("inf"), (0, 1)
    for second in range(1, len(between)):
        row = between[second][:second]
        smallest = min(row)
        if smallest < best:
            best, closest = smallest, (row.index(smallest), second)
    return closest


def _merge_rows(between: list[list[float]], first: int, second: int, size: int, other_size: int) -> None:
    """Replace two rows and columns by their mean, weighted with the sizes of the clusters."""
    total = size + other_size
    merged = [
        (one * size + other * other_size) / total for one, other in zip(between[first], between[second], strict=True)
    ]
    merged[first] = 0.0
    for row, value in zip(between, merged, strict=True):
        row[first] = value
    between[first] = merged
    del between[second]
    for row in between:
        del row[second]
