"""A process that publishes growing checkpoints and tells each size once it is safe, until it is killed.

python -m hawsepipe_conformance.publishing <plugin module> <kind> <directory> <settings as JSON>
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from hawsepipe_conformance.ledger import CHANNEL, checkpoint, opened

_MANY = 100_000


async def publish(plugin: str, kind: str, directory: Path, settings: str) -> None:
    """Continue from the head of the ledger in this directory."""
    async with opened(plugin, kind, directory, json.loads(settings)) as ledger:
        head = await ledger.head(CHANNEL)
        for _ in range(_MANY):
            new = checkpoint(head.size + 1 if head is not None else 1)
            await ledger.publish(new, head)
            sys.stdout.write(f"{new.size}\n")
            sys.stdout.flush()
            head = new


if __name__ == "__main__":
    asyncio.run(publish(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
