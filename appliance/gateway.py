"""`gatefold gateway run`: the process with both doors. Started by `serve`; safe to kill at any moment."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

from appliance.compose import open_gateway
from appliance.logs import log_to_parent
from appliance.process import report_ready
from appliance.reactor import on_stop_signal
from foundation.aio import Promise

if TYPE_CHECKING:
    from appliance.config import Config
    from appliance.home import Home
    from foundation.clock import Clock


async def run_gateway(reactor: Any, clock: Clock, home: Home, config: Config, name: str) -> None:
    """Serve as gateway *name* until a stop signal: the doors drain, and what is behind them closes in order.

    Raise GatewayGone when others took this run for dead and forgot it: only a new process may serve again.
    """
    log_to_parent()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # one descriptor per connection
    asked: Promise[None] = Promise()

    def stop() -> None:
        if not asked.done:
            asked.resolve(None)

    def gone(error: BaseException) -> None:
        if not asked.done:
            asked.fail(error)

    on_stop_signal(reactor, stop)
    async with open_gateway(reactor, clock, home, config, name, gone):
        report_ready()
        await asked
