"""XML (https://hl7.org/fhir/R4/xml.html): there and back nothing changes; nothing but FHIR comes in."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.errors import InvalidRequest, NotAcceptable
from hawsepipe.fhir import codec, xml_codec

NS = 'xmlns="http://hl7.org/fhir"'
DIV = "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p title='a'>x &lt; y<br/>  two</p><!-- kept --></div>"

RESOURCES = [
    b'{"resourceType":"Patient","id":"a","active":true,"multipleBirthInteger":2,"deceasedBoolean":false}',
    b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00},'
    b'"referenceRange":[{"low":{"value":1e2},"high":{"value":-0.50}},{"low":{"value":100}},{"low":{"value":0.0000001}}]}',
    b'{"resourceType":"Patient","name":[{"given":["A","B",null,"D"],"_given":[null,{"id":"g"},{"extension":'
    b'[{"url":"urn:x","valueCode":"masked"}]},null]},{"_family":{"extension":[{"url":"urn:y","valueString":"z"}]}}]}',
    b'{"resourceType":"Patient","birthDate":"1970-01-01","_birthDate":{"id":"b","extension":[{"url":"urn:t",'
    b'"valueDateTime":"1970-01-01T10:00:00Z"}]},"extension":[{"id":"e","url":"urn:n","extension":[{"url":"a",'
    b'"valueDecimal":1.10},{"url":"b","valueBase64Binary":"AAAA"}]}]}',
    b'{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":'
    b'"Patient","contained":[{"resourceType":"Organization","id":"o","name":"N"},{"resourceType":"Organization",'
    b'"id":"p"}],"managingOrganization":{"reference":"#o"}}},{"request":{"method":"GET","url":"Patient?a=1&b=2"}}]}',
    b'{"resourceType":"Parameters","parameter":[{"name":"p","part":[{"name":"q","valueInteger":7},{"name":"r",'
    b'"resource":{"resourceType":"Basic","code":{"text":"c"}}}]}]}',
    b'{"resourceType":"Basic","id":"s","code":{"id":"c","text":"tab\\tline\\nreturn\\rquote\\" '
    b'<&> \\u00e9 \\ud83d\\ude00"}}',
    b'{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","item":[{"linkId":"1.1","item":'
    b'[{"linkId":"1.1.1"}]}]}]}',
]


@pytest.mark.parametrize("written", RESOURCES, ids=range(len(RESOURCES)))
@pytest.mark.parametrize("pretty", [False, True])
def test_a_resource_comes_back_as_it_was(written: bytes, pretty: bool) -> None:
    resource = codec.decode(written)
    again = xml_codec.decode(xml_codec.encode(resource, pretty=pretty))
    assert again == resource
    assert sorted(codec.encode(again)) == sorted(codec.encode(resource))


def test_a_narrative_keeps_every_character() -> None:
    resource = {"resourceType": "Basic", "text": {"status": "generated", "div": DIV}, "code": {"text": "x"}}
    written = xml_codec.encode(resource, pretty=True)
    assert DIV.encode() in written
    assert xml_codec.decode(written) == resource


def test_named_entities_of_a_narrative_become_numbers() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">a&nbsp;&amp;&copy;</div>'
    resource = {"resourceType": "Basic", "text": {"status": "generated", "div": div}}
    again = xml_codec.decode(xml_codec.encode(resource))
    assert again["text"]["div"] == '<div xmlns="http://www.w3.org/1999/xhtml">a&#160;&amp;&#169;</div>'


def test_a_narrative_in_a_namespace_of_its_document_gets_its_own() -> None:
    text = f"""<Basic {NS} xmlns:h="http://www.w3.org/1999/xhtml"><text><status value="generated"/><h:div><h:b class="x"
    >a &amp; b</h:b></h:div></text></Basic>"""
    div = xml_codec.decode(text.encode())["text"]["div"]
    assert div == '<div xmlns="http://www.w3.org/1999/xhtml"><b class="x">a &amp; b</b></div>'


def test_elements_are_written_in_the_order_of_the_definitions() -> None:
    resource = {"resourceType": "Patient", "gender": "male", "name": [{"given": ["A"], "family": "B"}], "id": "p"}
    written = xml_codec.encode(resource).decode()
    assert [written.index(f"<{name}") for name in ("id", "name", "family", "given", "gender")] == sorted(
        written.index(f"<{name}") for name in ("id", "name", "family", "given", "gender")
    )
    assert written.startswith(f'<?xml version="1.0" encoding="UTF-8"?><Patient {NS}>')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<Patient/>",
        f"<Nothing {NS}/>",
        f"<Patient {NS}><nonsense value='x'/></Patient>",
        f"<Patient {NS}><gender value='male' other='x'/></Patient>",
        f"<Patient {NS}><gender value='male'/><gender value='male'/></Patient>",
        f"<Patient {NS}>text</Patient>",
        f"<Patient {NS}><gender value='male'>text</gender></Patient>",
        f"<Patient {NS} value='x'/>",
        f"<Patient {NS}><x:gender xmlns:x='urn:x' value='male'/></Patient>",
        f"<Patient {NS}><contained><Basic/><Basic/></contained></Patient>",
        f"<Patient {NS}><contained/></Patient",
        f"<Patient {NS}>&nothing;</Patient>",
        f"<!DOCTYPE Patient [<!ENTITY a 'b'>]><Patient {NS}><gender value='&a;'/></Patient>",
        f"<!DOCTYPE Patient SYSTEM 'file:///etc/passwd'><Patient {NS}/>",
        f"<Patient {NS}>" + "<contact>" * 300 + "</contact>" * 300 + "</Patient>",
        f"<Questionnaire {NS}>" + "<item>" * 300 + "</item>" * 300 + "</Questionnaire>",
    ],
)
def test_what_is_not_a_resource_in_xml_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        xml_codec.decode(text.encode())


def test_what_json_could_not_hold_is_refused_although_it_nests_less_in_xml() -> None:
    def nested(count: int) -> bytes:
        return f"<Questionnaire {NS}>{'<item>' * count}{'</item>' * count}</Questionnaire>".encode()

    assert codec.decode(codec.encode(xml_codec.decode(nested(49))))
    with pytest.raises(InvalidRequest):
        xml_codec.decode(nested(50))


def test_a_number_that_is_too_long_is_left_to_validation() -> None:
    text = f"<Observation {NS}><valueQuantity><value value='{'9' * 5000}'/></valueQuantity></Observation>"
    assert isinstance(xml_codec.decode(text.encode())["valueQuantity"]["value"], str)


def test_what_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        xml_codec.decode(f"<Patient {NS}><gender value='\xe9'/></Patient>".encode("latin-1"))


def test_what_xml_cannot_hold_is_not_acceptable() -> None:
    cases: list[Any] = [
        {"resourceType": "Basic", "code": {"text": "\x01"}},
        {"resourceType": "Basic", "nonsense": "x"},
        {"resourceType": "Nothing"},
    ]
    for resource in cases:
        with pytest.raises(NotAcceptable):
            xml_codec.encode(resource)


def test_a_value_that_is_none_of_its_type_is_left_to_validation() -> None:
    text = f"<Patient {NS}><active value='yes'/><multipleBirthInteger value='1.5'/></Patient>"
    assert xml_codec.decode(text.encode()) == {
        "resourceType": "Patient",
        "active": "yes",
        "multipleBirthInteger": "1.5",
    }
