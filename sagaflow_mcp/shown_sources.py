"""The lines that tracebacks show of skills' files: the pinned copies', whatever the author has written since."""

from __future__ import annotations

import itertools
import linecache


class ShownSources:
    """What Python's `linecache` is told of files: the text of each module that was compiled under such a name.

    Several versions of a skill come from one file. A line in which they differ is shown as empty: a traceback names the
    file and the line, but not the version.
    """

    def __init__(self) -> None:
        self._texts: dict[str, dict[str, str]] = {}
        """By file, then by module."""

    def show(self, file: str, module: str, text: str) -> None:
        """Have `text` shown for `file`, from which `module` was compiled."""
        self._texts.setdefault(file, {})[module] = text
        self._tell(file)

    def hide(self, modules: list[str]) -> None:
        """Forget the texts of `modules`."""
        for file, texts in list(self._texts.items()):
            if [texts.pop(module) for module in modules if module in texts]:
                self._tell(file)

    def _tell(self, file: str) -> None:
        texts = list(self._texts[file].values())
        if not texts:
            del self._texts[file]
            linecache.cache.pop(file, None)
            return
        # In lines as the compiler counts them, which takes a form feed for no end of a line.
        versions = itertools.zip_longest(*(text.split("\n") for text in texts), fillvalue="")
        lines = [f"{first}\n" if all(other == first for other in others) else "\n" for first, *others in versions]
        # Without a time of change: else the file on the disk would be looked at.
        linecache.cache[file] = (len(texts[0]), None, lines, file)
