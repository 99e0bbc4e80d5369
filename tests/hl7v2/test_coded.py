"""Which places hold codes, and so may be shown in a list of codes to map."""

from __future__ import annotations

import pytest

from hawsepipe_hl7v2.coded import coded


@pytest.mark.parametrize(
    "location",
    ["PID-8", "PID-16.1", "PID-16[2].1", "OBX[3]-3.1", "OBR-4.4", "PID-3.4", "PID-3[2].5", "PV1-2", "ZPI-4", "PV2-3.1"],
)
def test_codes_and_names_of_authorities_may_be_shown(location: str) -> None:
    assert coded(location)


@pytest.mark.parametrize(
    "location",
    [
        *("OBX-5", "OBX[2]-5.1", "OBX-14", "PID-7", "PID-5.1", "PID-5", "PID-3.1", "PID-3", "PID-11.3", "PID-13.1"),
        *(
            "MSH-19",
            "MSH-15",
            "NTE-3",
            "NTE-4.1",
            "NK1-2",
            "PV1-44",
            "SPM-12.1",
            "OBX-6.9999",
            "OBR-4.2",
            "PID-999",
            "XX",
            "",
            "-",
        ),
        *("QQQ-1", "PID-0", "PID-\u0668"),
    ],
)
def test_values_names_dates_numbers_and_free_text_may_not(location: str) -> None:
    assert not coded(location)
