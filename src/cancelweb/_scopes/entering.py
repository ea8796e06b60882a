"""Add the hooks, time limits and monitors of an entry point to the scope of a request.

`options` joins the options of nested entry points.
"""

from __future__ import annotations

from .limits import Limits
from .options import Options
from .scope import Scope
from .states import RUNNING


def enter(scope: Scope, options: Options) -> None:
    """Take on the options of an entry point that has received the request."""
    life = scope.life  # The scope needs a life, which reports its end to monitors and observers.
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
    """Take on the options of another entry point that has received the same request."""
    if not scope.options.includes(options):
        scope.options = scope.options.joined(options)
        scope.clock = options.clock or scope.clock
        enter(scope, options)
