"""Arrange records as calls without `orders[id]` get them: by e-mail, or in no stable order."""

from collections.abc import Callable
from random import Random
from typing import Protocol

from acsync.simulator.population import Population, Window

BLOCK = 120
"""Deals are shuffled inside blocks wider than a page, anew for each call: pages overlap."""


class Arrangement(Protocol):
    """Give the ids of a page in the dataset's default order."""

    def __call__(self, population: Population, window: Window, number: int, /) -> list[int]: ...


class ByEmail:
    """`/contacts`: by address; sorted when asked for and kept while no id comes or goes."""

    def __init__(self, email: Callable[[int], str]) -> None:
        self._email = email
        self._sorted: list[int] = []
        self._generation = -1

    def __call__(self, population: Population, window: Window, _number: int) -> list[int]:
        if self._generation != population.generation:
            self._sorted = sorted(population.ids, key=lambda one: (self._email(one), one))
            self._generation = population.generation
        first, end = population.bounds(window)
        ids = self._sorted
        if end - first < len(ids):
            within = set(population.ids[first:end])
            ids = [one for one in ids if one in within]
        return ids[window.offset : window.offset + window.limit]


def without_order(population: Population, window: Window, number: int) -> list[int]:
    """`/deals`: every call sees another order, so that pages repeat rows and omit others.

    Seen at a real account: 528 of 551 deals, with 551 rows in all.
    """
    first, end = population.bounds(window)
    start = min(first + window.offset, end)
    stop = min(start + window.limit, end)
    ids: list[int] = []
    for block in range((start - first) // BLOCK, (stop - first) // BLOCK + 1):
        place = first + block * BLOCK
        rows = list(population.ids[place : min(place + BLOCK, end)])
        Random(number * 1_000_003 + block).shuffle(rows)  # noqa: S311  # repeatable chance
        ids += rows[max(start - place, 0) : max(stop - place, 0)]
    return ids
