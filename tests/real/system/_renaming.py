"""A Twisted of the future, in which names have changed: the installed one, with those replaced.

What belongs here: importing modules with other identifiers in their source. What does not:
anything that imports Twisted, which would be too early.
"""

import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

SUFFIX = "_renamed"


class Renaming(MetaPathFinder):
    """A finder of modules whose source is changed, which comes before all others.

    Args:
        patterns: For each module, regular expressions; what they match is put before `SUFFIX`.
    """

    def __init__(self, patterns: dict[str, list[str]]) -> None:
        self.patterns = patterns

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module, and have it loaded from its changed source."""
        if name not in self.patterns:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None and spec.origin is not None, f"there is no {name} any more"
        spec.loader = _Loader(name, spec.origin, self.patterns[name])
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, patterns: list[str]) -> None:
        super().__init__(name, path)
        self.patterns = patterns

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        for pattern in self.patterns:
            source, count = re.subn(pattern, rf"\g<0>{SUFFIX}", source)
            assert count, f"{fullname} has no {pattern} any more"
        code: CodeType = self.source_to_code(source, self.path)
        return code


def forget(*names: str) -> None:
    """Have modules imported again."""
    for name in names:
        del sys.modules[name]
