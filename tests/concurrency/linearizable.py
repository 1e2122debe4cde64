"""Is a history of concurrent operations one that a sequential object could have given?

The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory of the
configurations already tried ("Testing for linearizability", 2017): take any operation that may come next, go back where
the object cannot have answered so. Exponential in what is under way at once, so histories are short; a search that
exceeds its budget says so, and nobody may take that for a proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

#: The time of an answer that never came.
NEVER = 1 << 62
BUDGET = 400_000


class BudgetSpentError(Exception):
    """The search was given up: it has proven nothing."""


@dataclass(frozen=True)
class Op:
    """One operation: *step* returns every state that it may leave behind, none where it cannot have answered so."""

    what: str
    call: int
    ret: int  # it took effect before this, if it did
    answered: bool  # else it may as well not have happened
    step: Callable[[Any], Iterable[Hashable]]


def linearizable(history: Sequence[Op], initial: Hashable, budget: int = BUDGET) -> bool:
    """Tell whether *history* can be put into an order that keeps time and that an object in *initial* would allow."""
    ops = sorted(history, key=lambda op: op.call)
    required = sum(1 << index for index, op in enumerate(ops) if op.answered)
    tried: set[tuple[int, Hashable]] = set()
    stack: list[tuple[int, int, Hashable]] = [(0, -1, initial)]  # done, latest call among those, state
    while stack:
        done, latest, state = stack.pop()
        if done & required == required:
            return True
        if (done, state) in tried:
            continue
        tried.add((done, state))
        if len(tried) > budget:
            raise BudgetSpentError(f"{len(ops)} operations")
        end = min(op.ret for index, op in enumerate(ops) if op.answered and not done >> index & 1)
        for index, op in enumerate(ops):
            if op.call > end:
                break  # it began after one that is still to come had been answered
            if done >> index & 1 or op.ret < latest:
                continue
            stack += [(done | 1 << index, max(latest, op.call), after) for after in op.step(state)]
    return False


def tell(history: Iterable[Op]) -> str:
    """Return the history as text, one operation a line."""
    lines = [
        f"{op.call:5} .. {'never' if op.ret == NEVER else op.ret:>5} {'' if op.answered else '? '}{op.what}"
        for op in sorted(history, key=lambda op: op.call)
    ]
    return "\n".join(lines)
