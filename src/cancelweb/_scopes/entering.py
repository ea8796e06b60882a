"""What an entry point brings to the scope of a request: hooks, limits, monitors.

How the options of several entry points add up is for `options`.
"""

from __future__ import annotations

from .limits import Limits
from .options import Options
from .scope import Scope
from .states import RUNNING


def enter(scope: Scope, options: Options) -> None:
    """An entry point has brought its request here: take on what it has given."""
    life = scope.life  # Without one, nobody would be told of its end.
    for hook, for_cancelled in options.hooks:
        life.hooks.add(hook, for_cancelled)
    has_limits = options.has_limits or scope.limits is not None
    if has_limits and scope.state is RUNNING:
        scope.limits = scope.limits or Limits(scope)
        scope.limits.take_on(options)
    for monitor in options.monitors:
        monitor.scope_opened(scope)
    if scope.opened is None and (options.monitors or options.observers):
        scope.opened = scope.clock.seconds()


def join(scope: Scope, options: Options) -> None:
    """Another entry point has met the same request."""
    if not scope.options.includes(options):
        scope.options = scope.options.joined(options)
        scope.clock = options.clock or scope.clock
        enter(scope, options)
