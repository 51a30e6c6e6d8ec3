"""A queue of work in front of a few threads, out of which work can be taken again."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from service.errors import Unavailable

Result = TypeVar("Result")


class WorkQueue:
    """Does work in threads, oldest first.

    As `concurrent.futures.ThreadPoolExecutor`, except that work which nobody wants any more leaves
    the queue at once with all that it refers to. There it stays, cancelled or not, until a thread
    has come round to it.

    Args:
        threads: How many; they start with the first work, by the thread that submits it.
        name: Of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._name = name
        self._started = False
        self._closed = False
        self._waiting: OrderedDict[Future[Any], Callable[[], Any]] = OrderedDict()
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """Pieces of work that no thread has begun."""
        return len(self._waiting)

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Queue a piece of work.

        Returns:
            Its result; whether the work is over. Local variables of frames in the traceback of
            its exception are gone: they would keep an image in memory for as long as the error.

        Raises:
            Unavailable: The queue is closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise Unavailable("The service is shutting down.")
            self._waiting[future] = work
            self._changed.notify()
        if not self._started:
            self._started = True
            for number in range(self._threads):
                name = f"{self._name}_{number}"
                # Daemons: work that nobody waits for must not keep the process from its end.
                threading.Thread(target=self._serve, name=name, daemon=True).start()
        return future

    def withdraw(self, future: Future[Result], then: Callable[[], None]) -> None:
        """Drop a piece of work that is not begun; leave one that is to its end. On the event loop.

        Args:
            future: From `submit`.
            then: Called when the work is not held any more: now, or on the event loop once it is
                over.
        """
        with self._changed:
            self._waiting.pop(future, None)
        future.cancel()
        if future.done():
            then()
            return
        loop = asyncio.get_running_loop()

        def over(_: Future[Result]) -> None:
            with suppress(RuntimeError):  # the loop is gone, and with it whoever counts
                loop.call_soon_threadsafe(then)

        future.add_done_callback(over)

    def close(self) -> None:
        """Cancel what waits; the threads end with what they are at."""
        with self._changed:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for future in waiting:
            future.cancel()

    def _serve(self) -> None:
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        """Do the oldest piece of work; False once the queue is closed.

        In a function of its own: a local variable of `_serve` would keep the last piece of work in
        memory until the next comes.
        """
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return False
                self._changed.wait()
            future, work = self._waiting.popitem(last=False)
        if not future.set_running_or_notify_cancel():
            return True
        try:
            result = work()
        except BaseException as error:  # whatever it is, it is the caller's
            clear_frames(error)
            # Without this frame, whose variable `future` would hold the error that holds the frame.
            rest = error.__traceback__.tb_next if error.__traceback__ else None
            future.set_exception(error.with_traceback(rest))
        else:
            future.set_result(result)
        return True


def clear_frames(error: BaseException) -> None:
    """Clear the local variables of every frame that an exception and its causes came through.

    A future holds its exception, whose traceback holds the frames, one of which holds the future:
    until the garbage collector comes round to them, what else they hold stays in memory too.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        if (raised := left.pop()) is None or id(raised) in seen:
            continue
        seen.add(id(raised))
        traceback.clear_frames(raised.__traceback__)
        left += [raised.__cause__, raised.__context__]
