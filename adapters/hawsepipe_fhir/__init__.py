"""Other versions of FHIR: STU3, DSTU2 and R5 to R4, as a library and as the translator kind `fhir` (see DESIGN.md)."""

from hawsepipe_fhir.bench import Loss, Move, Note
from hawsepipe_fhir.conversion import Conversion, convert
from hawsepipe_fhir.detection import VERSIONS, essence, guessed, named, stated

__all__ = ["VERSIONS", "Conversion", "Loss", "Move", "Note", "convert", "essence", "guessed", "named", "stated"]
