# SPDX-License-Identifier: BSD-3-Clause
"""Makes numbered things ahead in threads and hands them out in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Callable, Deque, Generic, Iterator, Optional, Type, TypeVar

Made = TypeVar("Made")

_AHEAD_PER_THREAD = 2


class Prefetch(Generic[Made]):
    """Iterator over ``make(start)``, ``make(start + 1)``, ... ``make(stop - 1)``, made ahead in threads.

    The order is that of the numbers whatever thread is the fastest, and no more than two for each thread are kept.

    Parameters
    ----------
    make
        Called from the threads, each number once.
    start, stop
        First number, and the one behind the last.
    threads
        How many make things at once.
    """

    def __init__(
        self, make: Callable[[int], Made], start: int, stop: int, threads: int = 1
    ) -> None:
        self._make = make
        self._numbers = iter(range(start, stop))
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="prefetch")
        self._made: Deque[Future[Made]] = deque()
        for _ in range(_AHEAD_PER_THREAD * threads):
            self._order()

    def __enter__(self) -> Prefetch[Made]:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for each in self._made:
            each.cancel()
        self._pool.shutdown(wait=True)

    def __iter__(self) -> Iterator[Made]:
        return self

    def __next__(self) -> Made:
        if not self._made:
            raise StopIteration
        made = self._made.popleft().result()
        self._order()
        return made

    def _order(self) -> None:
        number = next(self._numbers, None)
        if number is not None:
            self._made.append(self._pool.submit(self._make, number))
