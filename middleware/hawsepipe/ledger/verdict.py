"""The node's own word on a version: is it untouched, and the latest. Who does not trust the node asks for evidence."""

from __future__ import annotations

from hawsepipe.errors import NotInLog
from hawsepipe.ledger.evidence import Evidence, encoded
from hawsepipe.ledger.verify import Asked, Findings, verify
from hawsepipe.model import Version


class Verdicts:
    """Verifies versions as anybody would who is given evidence of them. `trust` is the trust document; `receipted` says
    whether there is a ledger whose receipts count.
    """

    def __init__(self, evidence: Evidence, trust: bytes, *, receipted: bool) -> None:
        self._evidence = evidence
        self._trust = trust
        self._receipted = receipted

    async def of(self, version: Version) -> Findings:
        """Return the findings, that of the state at the newest checkpoint among them.

        Raises as `Evidence.of`, and NotInLog while no ledger has receipted the version.
        """
        document = await self._evidence.of(version, state=True)
        if self._receipted and not document["receipts"]:
            raise NotInLog
        quorum = None if self._receipted else 0
        return verify(encoded(document), self._trust, Asked(version.type, version.id, version.version, quorum=quorum))
