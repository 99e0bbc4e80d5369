"""May this principal have this resource version? Pure, in numbered steps; every step that does not say permit says why.

`decide` is the meaning; `formula` is the same thing folded for search. The tags in `Decision.reasons` are stable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hawsepipe.consent.consents import Consents
from hawsepipe.consent.directives import Directive, Effect, Standing
from hawsepipe.consent.matching import Matching
from hawsepipe.consent.policy import ALL_NORMAL, BASIC_NORMAL, PolicySettings
from hawsepipe.consent.request import Request
from hawsepipe.consent.terms import ACT_CODE, ACT_REASON, NORMAL, VERY_RESTRICTED, coded, terms
from hawsepipe.model import Decision
from hawsepipe.visibility import NO_PATIENT, SEALED, Subject

GUARDED: Final = frozenset({"AuditEvent", "Consent"})
"""Types that only the patient herself and a privacy officer may see (semantics 4)."""

NOT_FOR_PATIENT: Final = coded(ACT_CODE, "NOPAT")

SEALED_LABEL: Final = coded(*SEALED)

TRANSFORMING: Final = frozenset(coded(ACT_CODE, code) for code in ("REDACT", "MASK", "PSEUD", "ANONY", "DEID"))
"""Duties on the data that change what may leave. They are not carried out here, so such data does not leave."""

EMERGENCY_DUTIES: Final = ("alert-patient", "audit-btg", "watermark", "no-export", "review")
_SHORTEST_REASON: Final = 10
_EMERGENCY: Final = frozenset({"read", "search-type"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one step or one patient's layer says."""

    permit: bool
    reason: str
    consents: tuple[str, ...] = ()
    duties: tuple[str, ...] = ()


def decide(
    request: Request, subject: Subject, consents: Consents, settings: PolicySettings, *, tenant: str | None = None
) -> Decision:
    """Decide about one resource version. `tenant` is the resource's, by default that of the settings."""
    # 1. Tenant, scopes, role: consent never widens them.
    refused = _outer(request, subject, settings, settings.tenant if tenant is None else tenant)
    if refused is not None:
        return Decision(False, (refused,))
    # 2. Labels on the data: the purpose that they are kept for, and duties that would have to be carried out.
    refused = _labels(request, subject)
    if refused is not None:
        return Decision(False, (refused,))
    # 3. What is sealed: a privacy officer's alone. Data about nobody: by role alone. Data that ought to name a patient
    # and does not is nobody's to give.
    officer = settings.officer(request.principal.roles)
    sealed = SEALED_LABEL in subject.facets.values.get("label", frozenset())
    if sealed and not (officer and "target" not in subject.facets.values):
        return Decision(False, ("sealed",))
    if officer and (sealed or _about(subject) <= GUARDED):
        return Decision(True, ("privacy-officer",))
    if NO_PATIENT in subject.facets.values.get("elsewhere", frozenset()):
        return Decision(False, ("no-patient",))
    if not officer and _withheld(subject):
        return Decision(False, ("very-restricted",))
    if not subject.patients:
        plain = _about(subject) <= terms().patientless
        return Decision(plain, ("non-patient" if plain else "no-patient",))
    # 4. Every patient on the resource must permit.
    verdicts = [_patient(request, subject, patient, consents, settings) for patient in subject.patients]
    refusals = [verdict for verdict in verdicts if not verdict.permit]
    counted = refusals or verdicts
    return Decision(
        permit=not refusals,
        reasons=_unique(verdict.reason for verdict in counted),
        consents=_unique(reference for verdict in counted for reference in verdict.consents),
        obligations=_unique(duty for verdict in counted for duty in verdict.duties),
    )


def _outer(request: Request, subject: Subject, settings: PolicySettings, tenant: str) -> str | None:
    if request.principal.tenant != tenant:
        return "tenant"
    types = {subject.type} | _about(subject)
    if not all(map(request.reach.touches, types)):
        return "scope"
    allowed = settings.types(request.principal.roles)
    if allowed is not None and not types <= allowed:
        return "role"
    return None


def _withheld(subject: Subject) -> bool:
    """Say whether data that nobody's consent speaks of are labelled V (or not labelled): there is nobody to name it."""
    rank = subject.facets.rank
    return bool(_about(subject) & terms().patientless) and (rank is None or rank >= VERY_RESTRICTED)


def _about(subject: Subject) -> frozenset[str]:
    """Return the types that the data are of: the subject's own, a Provenance's targets'."""
    return subject.facets.values.get("target", frozenset({subject.type}))


def _labels(request: Request, subject: Subject) -> str | None:
    purposes = subject.facets.values.get("purpose", frozenset())
    if not purposes <= kept_for(request.purpose):
        return "purpose-label"
    if subject.facets.values.get("label", frozenset()) & TRANSFORMING:
        return "obligation"
    return None


def kept_for(purpose: str | None) -> frozenset[str]:
    """Return the purpose labels that data may carry to be shown for a purpose.

    They are the purpose itself and what it is a kind of (ruling g).
    """
    above = terms().purposes.get(purpose, frozenset()) if purpose is not None else frozenset()
    return frozenset(coded(ACT_REASON, code) for code in above)


def _patient(request: Request, subject: Subject, patient: str, consents: Consents, settings: PolicySettings) -> Verdict:
    # 4.1 A scope of level patient reaches the launch patient only.
    wide = all(map(request.reach.everywhere, {subject.type} | _about(subject)))
    if not wide and request.principal.patient not in consents.persons(patient):
        return Verdict(False, "scope")
    # 4.2 Her own data, unless they are labelled not for her.
    if request.oneself in consents.persons(patient):
        nopat = NOT_FOR_PATIENT in subject.facets.values.get("label", frozenset())
        return Verdict(not nopat, "nopat" if nopat else "self")
    # 4.3 Consents and the access record are hers and the privacy officer's.
    if _about(subject) & GUARDED:
        return Verdict(False, "guarded")
    # 4.4 Her consents, then the default of the house; an emergency overrides both.
    directives = consents.in_force(patient, request.purpose, settings)
    matching = Matching(request, subject, settings)
    said = _consents(directives, matching) or _default(request, subject, settings)
    if said.permit or request.purpose != "BTG" or request.break_glass is None:
        return said
    return _emergency(request, subject, patient, directives, matching, settings)


def _consents(directives: tuple[Directive, ...], matching: Matching) -> Verdict | None:
    """Semantics 4: deny overrides;

    then a permit; then, when some consent governs the purpose, nothing is left to the default.
    """
    opinions = [(directive, matching.opinion(directive)) for directive in directives]
    denying = tuple(directive.reference for directive, effect in opinions if effect is Effect.DENY)
    if denying:
        return Verdict(False, "consent-deny", denying)
    permitting = tuple(
        directive.reference
        for directive, effect in opinions
        if effect is Effect.PERMIT and directive.standing is Standing.FULL
    )
    if permitting:
        return Verdict(True, "consent-permit", permitting)
    governing = tuple(one.reference for one in directives if one.governs(matching.request.purpose))
    return Verdict(False, "uncovered", governing) if governing else None


def _default(request: Request, subject: Subject, settings: PolicySettings) -> Verdict:
    """The tenant default. It never opens confidentiality above N."""
    rank = subject.facets.rank
    opened = default_opens(request, settings)
    if opened is None or rank is None or rank > NORMAL:
        return Verdict(False, "default-deny")
    return Verdict(True, opened)


def default_opens(request: Request, settings: PolicySettings) -> str | None:
    """Return the tag of the default policy that permits this request for normal data, None when none does."""
    action = request.interaction not in {"export", "subscribe"}
    if settings.default_policy == BASIC_NORMAL:
        clinician = not request.principal.roles.isdisjoint(settings.clinician_roles)
        return "default-basic-normal" if action and clinician and terms().covered(request.purpose, "TREAT") else None
    if settings.default_policy == ALL_NORMAL:
        usual = any(terms().covered(request.purpose, code) for code in ("TREAT", "HPAYMT", "HOPERAT"))
        return "default-all-normal" if action and request.principal.roles and usual else None
    return None


def _emergency(
    request: Request,
    subject: Subject,
    patient: str,
    directives: tuple[Directive, ...],
    matching: Matching,
    settings: PolicySettings,
) -> Verdict:
    """Semantics 5. Overrides consents and the default;

    not a deny that names BTG, not data labelled V, not an export.
    """
    claim = request.break_glass
    capable = not request.principal.roles.isdisjoint(settings.break_glass_roles)
    reasoned = claim is not None and len(claim.reason.strip()) >= _SHORTEST_REASON and claim.code != ""
    about = claim is not None and claim.patient == patient
    if not (capable and reasoned and about and request.interaction in _EMERGENCY):
        return Verdict(False, "btg-invalid")
    refusing = tuple(one.reference for one in directives if matching.refuses_emergency(one))
    if refusing:
        return Verdict(False, "btg-refused-by-patient", refusing)
    rank = subject.facets.rank
    if rank is None or rank >= VERY_RESTRICTED:
        return Verdict(False, "btg-sealed")
    return Verdict(True, "break-glass", duties=EMERGENCY_DUTIES)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
