"""What is about nobody is shown by role alone, but not what is labelled V, and it holds no patient's data."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.consent.orders import Order
from hawsepipe.errors import InvalidResource, NotFound
from hawsepipe.fhir.query import Query

T = "http://terminology.hl7.org/CodeSystem/"
SLOT: dict[str, Any] = {
    "resourceType": "Location",
    "id": "shelter",
    "name": "Shelter in Zebra Street",
    "meta": {"security": [{"system": T + "v3-Confidentiality", "code": "V"}]},
}


async def test_a_place_labelled_v_is_the_officers_alone(hospital: Any) -> None:
    await hospital.put(SLOT, {"resourceType": "Location", "id": "ward"})
    with pytest.raises(NotFound):
        await hospital.view().read("Location", "shelter")
    assert [it.id for it in (await hospital.view().search(Query("Location"))).versions] == ["ward"]
    officer = hospital.view("Practitioner/olga", roles=frozenset({"privacy-officer"}))
    assert (await officer.read("Location", "shelter")).version == 1
    assert len((await officer.search(Query("Location"))).versions) == 2


@pytest.mark.parametrize("inner", [{"resourceType": "Patient", "id": "x"}, {"resourceType": "Immunization", "id": "x"}])
async def test_what_is_about_nobody_holds_no_record_of_a_patient(hospital: Any, inner: dict[str, Any]) -> None:
    study = {"resourceType": "ResearchStudy", "status": "active", "contained": [inner]}
    with pytest.raises(InvalidResource) as caught:
        await hospital.view().write([Order("create", "ResearchStudy", resource=study)])
    assert [it.location for it in caught.value.issues] == ["ResearchStudy.contained[0]"]
    other = {**study, "contained": [{"resourceType": "Organization", "id": "x"}]}
    assert (await hospital.view().write([Order("create", "ResearchStudy", resource=other)]))[0].created
