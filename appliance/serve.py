"""`gatefold serve`: the supervisor's own process. It holds the home's lock, no data and no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.admin import NotRunning, ask
from appliance.components import gateway, house
from appliance.config import FIRST_GATEWAY
from appliance.greeting import greeting
from appliance.logs import LineLog, log_to_parent
from appliance.reactor import on_stop_signal
from appliance.supervisor import Supervisor
from foundation import __version__

if TYPE_CHECKING:
    from appliance.config import Config
    from appliance.home import Home
    from foundation.clock import Clock


async def serve(reactor: Any, clock: Clock, home: Home, config: Config, name: str) -> None:
    """Run the whole house until a stop signal, or a further gateway called *name* and nothing else.

    Raise ChildFailed if it does not come up.
    """
    groups = house(reactor, clock, home, config)
    if name != FIRST_GATEWAY:
        groups = gateway(reactor, clock, home, config, name)
    log = LineLog()
    log_to_parent()
    log.write("gatefold", f"Gatefold {__version__} starts in {home.path}")
    supervisor = Supervisor(clock, groups, config.lifecycle, log.write)

    def stop() -> None:
        log.write("gatefold", "asked to stop")
        supervisor.request_stop()

    def greet() -> None:
        try:
            # A short call that blocks: the gateway is another process, and nothing else is due here.
            facts = ask(home, "greeting", name)
        except NotRunning as error:
            log.write("gatefold", f"up, but the gateway does not say more: {error}")
            return
        for line in greeting(config.for_gateway(name), facts):
            log.plain(line)

    on_stop_signal(reactor, stop)
    await supervisor.run(greet)
