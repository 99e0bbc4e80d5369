"""Other versions of FHIR: STU3, DSTU2 and R5 to R4 (see DESIGN.md)."""

from hawsepipe_fhir.conversion import NUMBERS, Conversion, Converter, converter

__all__ = ["NUMBERS", "Conversion", "Converter", "converter"]
