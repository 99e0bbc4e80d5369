"""Every error that crosses a room's door.

HawsepipeError
├── ConfigError                 a setting is wrong; `key` names it
├── PluginError                 a named plugin or kind is missing, doubled, misspelt or broken
├── MessageError                a message cannot be used; `location` is the v2 location, `cause` the class
├── IdentityConflict            409  the identifiers of a message belong to several people; names their ids
├── RequestError                what a FHIR client did; has an HTTP status
│   ├── InvalidRequest          400  the request cannot be understood
│   ├── InvalidResource         422  the resource breaks R4; carries each issue
│   ├── Unauthorized            401  no usable token
│   ├── Forbidden               403  the token does not cover the interaction
│   ├── NotFound                404  absent, or hidden: the two cannot be told apart
│   ├── MethodNotAllowed        405
│   ├── NotAcceptable           406
│   ├── Conflict                409
│   ├── Gone                    410
│   ├── PreconditionFailed      412
│   ├── TooLarge                413
│   ├── UnsupportedMediaType    415
│   └── TooManyRequests         429  come back later
├── StoreError                  503  the store cannot do it now
│   └── StoreFull               503  no room on the disk
├── DeliveryError               what a destination answers
│   ├── DeliveryFailed          not now; it is tried again
│   └── DeliveryRefused         the receiver will not have this message; carries its code
├── LedgerError                 what a ledger backend answers
│   ├── StaleHead               the expected head is not the head; carries the one it has
│   ├── Fork                    another checkpoint of the same size exists
│   ├── Pushback                come back later
│   │   └── NotInLog            the version's commitment is not in the log yet
│   ├── LedgerUnavailable       not reachable; nothing is known about the last call
│   ├── Rejected                refused for good
│   └── Unsupported             a capability that the backend does not claim
├── Tampered                    500  what is stored does not fit the log; `finding` says how
└── VerificationError           a proof failed; `code` names the step's finding

Every class states its OperationOutcome issue code and HTTP status. `str(error)` is safe to show: it never holds
patient data nor another library's exception text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hawsepipe.model import Change, Issue


class HawsepipeError(Exception):
    """The root of the tree. `code` is an IssueType code of R4, `status` an HTTP status."""

    code: ClassVar[str] = "exception"
    status: ClassVar[int] = 500


class ConfigError(HawsepipeError):
    """A setting is wrong. `key` is its dotted path in the configuration file, `reason` a sentence.

    `also` are further things that are wrong, where they were found together.
    """

    code = "invalid"

    def __init__(self, key: str, reason: str, also: Sequence[ConfigError] = ()) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason
        self.also = tuple(also)


class PluginError(HawsepipeError):
    """A plugin or kind is missing, doubled, misspelt or does not keep its contract."""


class MessageError(HawsepipeError):
    """A message cannot be used.

    `cause` is one of parse, structure, mapping, code, required, identity, delivery; `location` is where in the message
    (`PID-3[2].4`), or empty when it is the message as a whole. `changes` are what could be read of it all the
    same: from them is known whom it is about, so that what comes later about them can wait.
    """

    code = "processing"
    status = 422

    def __init__(self, cause: str, location: str, reason: str, changes: Sequence[Change] = ()) -> None:
        super().__init__(f"{location or 'message'}: {reason}")
        self.changes = tuple(changes)
        self.cause = cause
        self.location = location
        self.reason = reason


class IdentityConflict(HawsepipeError):
    """It is not clear who is meant: a person must decide. `patients` are the ids, `reason` a sentence."""

    code = "conflict"
    status = 409

    def __init__(self, patients: Sequence[str], reason: str) -> None:
        super().__init__(f"{reason} ({', '.join(f'Patient/{id_}' for id_ in patients)})")
        self.patients = tuple(patients)
        self.reason = reason


class RequestError(HawsepipeError):
    """What a FHIR client did. `expression` is a FHIRPath into the resource, `location` a parameter or header name.

    `part` says which of several things that are done together it is about, by its place among them.
    """

    code = "invalid"
    status = 400

    def __init__(self, text: str, *, expression: str | None = None, location: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.expression = expression
        self.location = location
        self.part: int | None = None


class InvalidRequest(RequestError):
    """400: the request cannot be understood."""


class InvalidResource(RequestError):
    """422: the resource is JSON but breaks R4. `issues` has one entry for each finding."""

    code = "invariant"
    status = 422

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(f"{len(issues)} finding(s) against R4")
        self.issues = tuple(issues)


class Unauthorized(RequestError):
    """401: there is no usable token. `challenge` is the `error` attribute of RFC 6750, empty without a token."""

    code = "login"
    status = 401

    def __init__(self, text: str, *, challenge: str = "") -> None:
        super().__init__(text)
        self.challenge = challenge


class Forbidden(RequestError):
    """403: the token is good but its scopes or role do not cover this interaction on this type."""

    code = "forbidden"
    status = 403


class NotFound(RequestError):
    """404: absent or hidden. The text depends on the request alone, so the two cannot be told apart."""

    code = "not-found"
    status = 404


class MethodNotAllowed(RequestError):
    """405: the interaction does not exist here."""

    code = "not-supported"
    status = 405


class NotAcceptable(RequestError):
    """406: no representation that the client accepts."""

    code = "not-supported"
    status = 406


class Conflict(RequestError):
    """409: the change meets another one."""

    code = "conflict"
    status = 409


class Gone(RequestError):
    """410: a resource that the requester may see was deleted."""

    code = "deleted"
    status = 410


class PreconditionFailed(RequestError):
    """412: If-Match or a conditional interaction did not hold."""

    code = "conflict"
    status = 412


class TooLarge(RequestError):
    """413: the body exceeds the configured limit."""

    code = "too-long"
    status = 413


class UnsupportedMediaType(RequestError):
    """415: the body is in a form that is not read here."""

    code = "not-supported"
    status = 415


class TooManyRequests(RequestError):
    """429: the client has to wait. `retry_after` is in seconds."""

    code = "throttled"
    status = 429

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class StoreError(HawsepipeError):
    """The store cannot do it now; nothing of the operation has happened."""

    code = "transient"
    status = 503


class StoreFull(StoreError):
    """There is no room on the disk."""

    code = "no-store"


class DeliveryError(HawsepipeError):
    """What a destination answers."""

    code = "transient"
    status = 502


class DeliveryFailed(DeliveryError):
    """The message could not be handed over now; nothing is known of whether it arrived."""


class DeliveryRefused(DeliveryError):
    """The receiver will not have this message. `cause` is one of a Refusal, `answer` the receiver's own code."""

    code = "processing"

    def __init__(self, cause: str, reason: str, answer: str = "") -> None:
        super().__init__(reason)
        self.cause = cause
        self.reason = reason
        self.answer = answer


class LedgerError(HawsepipeError):
    """What a ledger backend answers."""

    code = "transient"
    status = 503


class StaleHead(LedgerError):
    """The expected head is not the backend's head. `have` is (size, root) or None for an empty channel."""

    def __init__(self, have: tuple[int, bytes] | None) -> None:
        super().__init__("the ledger's head is not the expected one")
        self.have = have


class Fork(LedgerError):
    """The backend holds another root for a size that we signed. `have` is its (size, root)."""

    def __init__(self, have: tuple[int, bytes]) -> None:
        super().__init__("the ledger holds another root for this size")
        self.have = have


class Pushback(LedgerError):
    """The backend asks to come back later. `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the ledger asks to come back later")
        self.retry_after = retry_after


class NotInLog(Pushback):
    """The version is stored, but its commitment has not entered the log yet. Ask again."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.args = ("the version is not in the log yet; ask again",)


class LedgerUnavailable(LedgerError):
    """The backend cannot be reached. Whether the last call took effect is not known: ask before trying again."""


class Rejected(LedgerError):
    """The backend refuses the checkpoint for good."""


class Unsupported(LedgerError):
    """The backend does not claim this capability."""


class Tampered(HawsepipeError):
    """What is stored does not fit the log: there is no evidence of it. `finding` is the verifier's typed code."""

    code = "security"

    def __init__(self, finding: str, reason: str) -> None:
        super().__init__(f"{finding}: {reason}")
        self.finding = finding
        self.reason = reason


class VerificationError(HawsepipeError):
    """A proof failed. `finding` is the typed code (CONTENT_MISMATCH …), `step` the number of the step."""

    code = "security"
    status = 422

    def __init__(self, finding: str, step: int, reason: str) -> None:
        super().__init__(f"step {step}: {finding}: {reason}")
        self.finding = finding
        self.step = step
        self.reason = reason
