"""HL7 v2: the feed kind `mllp` and the translator kind `hl7v2` (see DESIGN.md)."""
