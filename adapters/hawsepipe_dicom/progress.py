"""How far a feed has come with the changes of an archive, in a file.

What is noted here was stored before: after a crash some changes come again, and make the same messages.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path

from hawsepipe import ConfigError

_FORM = 1


class Progress:
    """`last` is the number of the last change that was seen; `open` are instances, by the archive's ids, of studies
    that were not taken since they came, with the instant at which they were seen.
    """

    def __init__(self, path: Path, url: str) -> None:
        """Read the file. Raises ConfigError when it is damaged, or speaks of another archive than `url`."""
        self._path = path
        self._url = url
        self.last = 0
        self.open: dict[str, datetime] = {}
        try:
            document = json.loads(path.read_bytes())
            if document["form"] != _FORM or document["url"] != url:
                reason = f"{path} is about another archive; give the feed another name, or move the file away"
                raise ConfigError("url", reason)
            self.last = int(document["last"])
            self.open = {str(id_): datetime.fromisoformat(at) for id_, at in document["open"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise ConfigError("url", f"{path} cannot be read; move it away to begin anew") from error

    def note(self) -> None:
        """Write the file durably. Raises OSError; then the old one stands."""
        document = {
            "form": _FORM,
            "url": self._url,
            "last": self.last,
            "open": {id_: at.isoformat() for id_, at in self.open.items()},
        }
        descriptor, draft = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
        except BaseException:
            os.unlink(draft)
            raise
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
