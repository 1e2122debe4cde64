"""Start components in order, restart those that die, stop all in the opposite order.

A component that ends before the house is up ends the start: something is wrong that a restart will not mend. Later it
is restarted, after a delay that doubles while it keeps dying.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any, Protocol

from appliance.process import Child, Program, describe_exit
from foundation.aio import Promise, gather, pause, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.config import LifecycleConfig
    from foundation.clock import Clock

#: A component that ran this long has recovered: its next restart is quick again.
_STEADY_SECONDS = 30.0


class Component(Protocol):
    """Something that runs as a child process."""

    name: str

    async def start(self, on_line: Callable[[str, str], object]) -> Child:
        """Start it, and return its process when it serves; raise ChildFailed."""

    async def stop(self) -> None:
        """Stop it and return when it has ended; nothing happens if it does not run."""


class GatefoldProcess:
    """A component that is this program again: `gatefold node`, `gatefold gateway`."""

    def __init__(
        self, reactor: Any, clock: Clock, name: str, arguments: Sequence[str], lifecycle: LifecycleConfig
    ) -> None:
        """Prepare to run `gatefold ARGUMENTS` as *name*."""
        self.name = name
        self._reactor = reactor
        self._clock = clock
        self._lifecycle = lifecycle
        self._program = Program(
            name,
            (sys.executable, "-m", "appliance", *arguments),
            # Every one of them is safe to kill at any moment, and must not keep its port from the next run.
            death_signal=signal.SIGKILL,
            environment={"PYTHONUNBUFFERED": "1"},
        )
        self._child: Child | None = None

    async def start(self, on_line: Callable[[str, str], object]) -> Child:
        """Start the process and return it when it has reported ready; raise ChildFailed."""
        child = self._child = Child(self._reactor, self._program, on_line)
        patience = self._lifecycle.start_timeout_seconds
        timer = self._clock.call_later(patience, lambda: child.send_signal(signal.SIGKILL))
        try:
            await child.ready
        finally:
            timer.cancel()
        return child

    async def stop(self) -> None:
        """Ask the process to drain and end; kill it after the drain timeout."""
        if self._child is not None and not self._child.exited.done:
            await self._child.stop(self._clock, signal.SIGTERM, self._lifecycle.drain_timeout_seconds)


class Supervisor:
    """Runs groups of components: a group's members start side by side, after the group before is up."""

    def __init__(
        self,
        clock: Clock,
        groups: Sequence[Sequence[Component]],
        lifecycle: LifecycleConfig,
        on_line: Callable[[str, str], object],
    ) -> None:
        """Supervise *groups*, and hand every line they print, and our own, to *on_line*."""
        self._clock = clock
        self._groups = groups
        self._lifecycle = lifecycle
        self._on_line = on_line
        self._stopping = False
        self._over: Promise[None] = Promise()

    def request_stop(self) -> None:
        """Ask for an orderly end; asking again changes nothing."""
        if not self._over.done:
            self._stopping = True
            self._over.resolve(None)

    async def run(self, on_up: Callable[[], object]) -> None:
        """Run until a stop is requested; call *on_up* once all is up. Raise ChildFailed if it never was."""
        spawn("start", self._start_all(on_up), self._start_failed)
        try:
            await self._over
        finally:
            self._stopping = True
            for group in reversed(self._groups):
                await gather([self._stop(component) for component in group])
            self._say("stopped")

    async def _start_all(self, on_up: Callable[[], object]) -> None:
        for group in self._groups:
            if self._stopping:
                return
            children = await gather([self._start(component) for component in group])
            for component, child in zip(group, children, strict=True):
                spawn(f"watch over {component.name}", self._watch(component, child))
        if not self._stopping:
            on_up()

    def _start_failed(self, error: BaseException) -> None:
        if not self._over.done:
            self._over.fail(error)

    async def _start(self, component: Component) -> Child:
        began = self._clock.boottime_seconds()
        child = await component.start(self._on_line)
        took = self._clock.boottime_seconds() - began
        self._say(f"{component.name} is up: process {child.pid}, {took:.1f} s")
        return child

    async def _stop(self, component: Component) -> None:
        began = self._clock.boottime_seconds()
        await component.stop()
        self._say(f"{component.name} is down, {self._clock.boottime_seconds() - began:.1f} s")

    async def _watch(self, component: Component, child: Child) -> None:
        """Restart *component* whenever its process ends, until the stop."""
        delay = self._lifecycle.restart_delay_seconds
        while True:
            up_since = self._clock.boottime_seconds()
            status = await child.exited
            if self._stopping:
                return
            if self._clock.boottime_seconds() - up_since > _STEADY_SECONDS:
                delay = self._lifecycle.restart_delay_seconds
            restarted = None
            reason = describe_exit(status)
            while restarted is None:
                self._say(f"{component.name} {reason}; restart in {delay:g} s")
                await pause(self._clock, delay)
                delay = min(2 * delay, self._lifecycle.restart_delay_limit_seconds)
                if self._stopping:
                    return
                try:
                    restarted = await self._start(component)
                except Exception as error:  # noqa: BLE001 - a full disk, a folder that is gone: it may be mended
                    reason = f"did not start ({error})"
            child = restarted

    def _say(self, text: str) -> None:
        self._on_line("gatefold", text)
