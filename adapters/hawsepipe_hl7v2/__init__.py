"""HL7 v2: feeds, the translator kind `hl7v2`, and the same translation as a library (see DESIGN.md).

This is the adapter's public door; nothing else in it is promised.
"""

from hawsepipe import encode
from hawsepipe_hl7v2.bundles import bundle
from hawsepipe_hl7v2.library import split, translate, translator

__all__ = ["bundle", "encode", "split", "translate", "translator"]
