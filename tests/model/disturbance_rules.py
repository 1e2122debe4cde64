"""What happens to a house: time passes, gateways stop and others take over."""

from __future__ import annotations

from hall import run
from hypothesis import strategies as st
from hypothesis.stateful import rule
from rules import Rules

#: Fewer seconds than UNSTABLE data waits for more.
MAX_QUIET = 3.0


class DisturbanceRules(Rules):
    """Time and restarts."""

    quiet = 0.0  # seconds since everything was flushed for idleness

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.let_pass(seconds)

    def let_pass(self, seconds: float) -> None:
        """Idle data is flushed after a while, which no number of short whiles comes near; garbage goes."""
        self.quiet += seconds
        if self.quiet > MAX_QUIET:
            seconds, self.quiet = 30.0, 0.0
        self.hall.clock.advance(seconds)
        if seconds > MAX_QUIET:
            for path in self.model.files():
                self.model.commit(path)

    @rule()
    def restart(self) -> None:
        """A new gateway takes over after an orderly stop: nothing is lost."""
        run(self.hall.ns.close())
        self.hall = self.hall.reopen()
        for path in self.model.files():
            self.model.commit(path)
