"""Handlers that clean up after a cancel, and handlers that try again: one for each form.

What belongs here: the forms, which `test_refusal` runs in memory and `test_refusal_helpers` with a
database. What does not: what is expected of them.
"""

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

from cancelweb import Scope, cleaning, current_scope, shield

Steps = Generator[Deferred[Any], Any, Any]


@define(eq=False)
class Doing:
    """What a handler does.

    Attributes:
        update: begins an update.
        pause: takes a turn of the reactor or more.
    """

    update: Callable[[], Deferred[Any]]
    pause: Callable[[], Deferred[Any]]

    async def update_later(self) -> None:
        """Wait, and update."""
        await self.pause()
        await self.update()

    @inlineCallbacks
    def updates(self) -> Steps:
        """Update at once, and once more later."""
        yield self.update()
        yield self.pause()
        yield self.update()

    @inlineCallbacks
    def updates_later(self) -> Steps:
        """Wait, and update."""
        yield self.pause()
        yield self.update()


def wait() -> Deferred[Any]:
    """Wait forever, until it is cancelled."""
    return Deferred(lambda _: None)


@inlineCallbacks
def wait_below() -> Steps:
    """Wait forever in a generator, whose failure comes out of an ``except`` of Twisted's."""
    yield wait()


class Transaction:
    """An asynchronous context manager that updates on its way out."""

    def __init__(self, doing: Doing) -> None:
        self._doing = doing

    async def __aenter__(self) -> None:
        """Do nothing."""

    async def __aexit__(self, *_: object) -> None:
        await self._doing.update()


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    """A context manager that does nothing."""
    yield


@asynccontextmanager
async def transaction(doing: Doing) -> AsyncIterator[None]:
    """A context manager that updates on its way out, written as a generator."""
    try:
        yield
    finally:
        await doing.update()


class Cleanups(Doing):
    """Handlers that clean up."""

    async def in_finally(self, _: object) -> None:
        try:
            await wait()
        finally:
            await self.update()

    async def in_except(self, _: object) -> None:
        try:
            await wait()
        except BaseException:
            await self.update()
            raise

    async def in_aexit(self, _: object) -> None:
        async with Transaction(self):
            await wait()

    async def in_a_context_manager(self, _: object) -> None:
        async with transaction(self):
            await wait()

    async def two_in_a_row(self, _: object) -> None:
        try:
            await wait()
        finally:
            await self.update()
            await self.update()

    async def below_a_generator(self, _: object) -> None:
        try:
            await wait_below()
        finally:
            await self.update()
            await self.update()

    async def after_an_await(self, _: object) -> None:
        try:
            await wait()
        finally:
            await self.pause()
            await self.update()

    async def in_a_nested_coroutine(self, _: object) -> None:
        try:
            await wait()
        finally:
            await self.update_later()

    async def in_its_own_coroutine(self, _: object) -> None:
        try:
            await wait()
        finally:
            await Deferred.fromCoroutine(self.update_later())

    async def in_a_nested_generator(self, _: object) -> None:
        try:
            await wait()
        finally:
            await self.updates()

    async def in_a_nested_generator_later(self, _: object) -> None:
        try:
            await wait()
        finally:
            await self.updates_later()

    async def gathered(self, _: object) -> None:
        try:
            await wait()
        finally:
            both = [self.updates_later(), Deferred.fromCoroutine(self.update_later())]
            await gatherResults([*both, both[0]])

    async def not_awaited(self, _: object) -> None:
        try:
            await wait()
        finally:
            self.update()

    async def not_awaited_below_a_generator(self, _: object) -> None:
        try:
            await wait_below()
        finally:
            self.update()

    async def another_error(self, _: object) -> None:
        try:
            try:
                await wait()
            except Exception:
                raise ValueError from None
        except ValueError:
            await self.update()

    async def in_a_stream(self, _: object) -> AsyncIterator[bytes]:
        try:
            yield b"some"
            await wait()
        finally:
            await self.update()

    @inlineCallbacks
    def generator_finally(self, _: object) -> Steps:
        try:
            yield wait()
        finally:
            yield self.update()
            yield self.update()

    @inlineCallbacks
    def generator_except(self, _: object) -> Steps:
        try:
            yield wait_below()
        except Exception:
            yield self.pause()
            yield self.update()
            raise

    @inlineCallbacks
    def generator_nested(self, _: object) -> Steps:
        try:
            yield wait()
        finally:
            yield self.updates()
            yield self.updates_later()
            yield Deferred.fromCoroutine(self.update_later())

    def errback(self, _: object) -> Deferred[Any]:
        def clean(failure: object) -> Deferred[Any]:
            with cleaning():
                return self.update().addCallback(lambda _: failure)

        return wait().addErrback(clean)

    async def behind_the_block(self, _: object) -> None:
        with suppress(Exception):
            await wait()
        with cleaning():
            await self.update()
            await self.pause()
            await self.update()

    async def shielded(self, _: object) -> None:
        with suppress(Exception):
            await wait()
        await shield(self.update)
        await shield(self.update_later())

    async def in_a_hook(self, _: object) -> None:
        @current_scope().on_cancel
        async def hook(scope: Scope) -> None:
            await self.update_later()
            await self.updates_later()

        await wait()


class Retries(Doing):
    """Handlers that try again after each Exception; none cleans up."""

    async def loop(self, _: object) -> None:
        while True:
            try:
                await self.attempt()
                return
            except Exception:
                continue

    async def loop_below(self, _: object) -> None:
        while True:
            try:
                await Deferred.fromCoroutine(self.attempt())
                return
            except Exception:
                continue

    async def attempt(self) -> None:
        await self.update()

    async def loop_with_a_pause(self, _: object) -> None:
        while True:
            try:
                await self.attempt()
                return
            except Exception:
                await self.pause()

    async def loop_that_keeps_errors(self, _: object) -> None:
        errors, last = [], None
        while True:
            try:
                await self.attempt()
                return
            except Exception as error:
                last = error
                errors.append(last)

    async def loop_with_a_manager(self, _: object) -> None:
        while True:
            try:
                async with nothing():
                    await self.updates()
                    return
            except Exception:
                continue

    @inlineCallbacks
    def generator(self, _: object) -> Steps:
        while True:
            try:
                yield self.updates()
            except Exception:
                continue
            return


UPDATES = {
    "in_finally": 1,
    "in_except": 1,
    "in_aexit": 1,
    "in_a_context_manager": 1,
    "two_in_a_row": 2,
    "below_a_generator": 2,
    "after_an_await": 1,
    "in_a_nested_coroutine": 1,
    "in_its_own_coroutine": 1,
    "in_a_nested_generator": 2,
    "in_a_nested_generator_later": 1,
    "gathered": 2,
    "not_awaited": 1,
    "not_awaited_below_a_generator": 1,
    "another_error": 1,
    "in_a_stream": 1,
    "generator_finally": 2,
    "generator_except": 1,
    "generator_nested": 4,
    "errback": 1,
    "behind_the_block": 2,
    "shielded": 2,
    "in_a_hook": 2,
}
"""How many updates each of the `Cleanups` takes."""

LOOPS = (
    *("loop", "loop_below", "loop_with_a_pause", "loop_that_keeps_errors"),
    *("loop_with_a_manager", "generator"),
)
"""All of the `Retries`."""
