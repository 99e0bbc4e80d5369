"""definitions: R4 as tables."""

from __future__ import annotations

import pytest

from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.expression import OutsideSubset, compile_expression
from hawsepipe.fhir.query import Kind

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"

DEFINITIONS = load()


def test_every_resource_type_of_r4_is_there() -> None:
    assert len(DEFINITIONS.resource_types) == 146  # 148 with the abstract Resource and DomainResource
    assert "Resource" not in DEFINITIONS.resource_types
    assert "SubscriptionStatus" not in DEFINITIONS.resource_types  # came with R4B
    assert len(DEFINITIONS.primitives) == 20


def test_what_the_source_adds_to_the_core_is_left_out() -> None:
    assert set(DEFINITIONS.shape("Meta")) == {
        "id", "extension", "versionId", "lastUpdated", "source", "profile", "security", "tag",
    }  # fmt: skip
    assert "recruitment" not in DEFINITIONS.shape("ResearchStudy")
    assert "groupMeasure" in DEFINITIONS.shape("EvidenceVariable.characteristic")
    known = set(DEFINITIONS.elements)
    for name in DEFINITIONS.elements:
        for held in DEFINITIONS.shape(name).values():
            assert held.type in known
            assert set(held.targets) <= known


def test_a_shape_has_inherited_elements_and_one_key_for_each_type_of_a_choice() -> None:
    shape = DEFINITIONS.shape("Patient")
    assert shape["deceasedBoolean"].element == shape["deceasedDateTime"].element == "deceased[x]"
    assert shape["deceasedDateTime"].type == "dateTime"
    assert shape["id"].type == "id"
    assert shape["contact"].shape == "Patient.contact"
    assert "modifierExtension" in DEFINITIONS.shape("Patient.contact")
    assert shape["contained"].shape is None
    assert shape["identifier"].many
    assert DEFINITIONS.shape("Patient.link")["other"].targets == ("Patient", "RelatedPerson")


def test_a_content_reference_leads_back() -> None:
    item = DEFINITIONS.shape("Questionnaire.item")["item"]
    assert item.shape == "Questionnaire.item"
    assert item.many


def test_a_name_that_r4_does_not_have_is_a_key_error() -> None:
    for name in ("Nothing", "Patient.nothing"):
        with pytest.raises(KeyError):
            DEFINITIONS.shape(name)


def test_purposes_sensitivities_and_confidentiality_are_in_their_order() -> None:
    assert {"BTG", "ETREAT", "TREAT", "PurposeOfUse"} <= DEFINITIONS.ancestors(ACT_REASON, "BTG")
    assert "HPAYMT" not in DEFINITIONS.ancestors(ACT_REASON, "BTG")
    assert {"ETREAT", "BTG", "TREAT"} <= DEFINITIONS.descendants(ACT_REASON, "TREAT")
    assert {"HIV", "ETH", "PSY", "SUD"} <= DEFINITIONS.descendants(ACT_CODE, "_InformationSensitivityPolicy")
    assert DEFINITIONS.ancestors(ACT_CODE, "no such code") == frozenset()
    assert DEFINITIONS.ancestors("urn:no:such:system", "HIV") == frozenset()
    assert DEFINITIONS.order(CONFIDENTIALITY) == ("U", "L", "M", "N", "R", "V")


def test_required_codes_are_known() -> None:
    codes = DEFINITIONS.codes("http://hl7.org/fhir/ValueSet/administrative-gender")
    assert codes == frozenset({"male", "female", "other", "unknown"})
    assert DEFINITIONS.codes("http://hl7.org/fhir/ValueSet/mimetypes") is None


def test_compartments_name_search_parameters_that_exist() -> None:
    assert set(DEFINITIONS.compartments) == {"Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"}
    for members in DEFINITIONS.compartments.values():
        for kind, codes in members.items():
            assert set(codes) <= set(DEFINITIONS.search_parameters(kind)) | {"{def}"}


def test_every_search_expression_is_inside_the_subset() -> None:
    outside = []
    without = []
    for parameter in DEFINITIONS.parameters:
        for base in parameter.base:
            if not parameter.expression:
                without.append(parameter.code)
                continue
            try:
                if not compile_expression(DEFINITIONS, base, parameter.expression):
                    outside.append((base, parameter.code))
            except OutsideSubset:
                outside.append((base, parameter.code))
    assert outside == []
    assert sorted(without) == ["_content", "_query", "_text"]  # they have no expression in R4 either
    assert sum(it.kind is Kind.COMPOSITE for it in DEFINITIONS.parameters) == 46


@pytest.mark.parametrize(
    "expression", ["Patient.name.first()", "Patient.name[", "Patient.name where", "Patient.a + 1", ""]
)
def test_an_expression_outside_the_subset_is_refused(expression: str) -> None:
    with pytest.raises(OutsideSubset):
        compile_expression(DEFINITIONS, "Patient", expression)
