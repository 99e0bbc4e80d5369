"""A DICOM study that checks make themselves, and the C-STORE that sends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hawsepipe_conformance.feeds.cases import Unclear

ROOT = "1.2.826.0.1.3680043.10.1234"
STUDY = f"{ROOT}.1"


def instance(series: int, number: int, **more: str) -> Any:
    """Return an instance of a series of the study (a pydicom Dataset); `more` are further elements by keyword.

    Raises Unclear without the package that knows DICOM.
    """
    try:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage
    except ImportError as error:
        raise Unclear("pydicom is not installed: pip install pydicom pynetdicom") from error
    made = Dataset()
    made.file_meta = FileMetaDataset()
    uid = UID(f"{STUDY}.{series}.{number}")
    made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = uid
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    elements = {
        "SOPClassUID": SecondaryCaptureImageStorage,
        "SOPInstanceUID": uid,
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": f"{STUDY}.{series}",
        "PatientID": "P-DICOM",
        "IssuerOfPatientID": "GOOD",
        "PatientName": "DOE^JANE",
        "AccessionNumber": "ACC-1",
        "StudyDate": "20260301",
        "StudyTime": "101500",
        "TimezoneOffsetFromUTC": "+0100",
        "StudyDescription": "Chest",
        "Modality": "CT" if series == 1 else "SR",
        "SeriesNumber": str(series),
        "InstanceNumber": str(number),
        "Rows": 8,
        "Columns": 8,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": f"PIXELS-OF-{uid}".encode().ljust(64, b"\x01")[:64],
        **more,
    }
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def sent(port: int, instances: Sequence[Any]) -> list[int]:
    """Send instances to an archive and return the status of each (0 for success; -1 when it does not answer)."""
    try:
        from pynetdicom import AE
        from pynetdicom.sop_class import SecondaryCaptureImageStorage  # type: ignore[attr-defined]  # made at run time
    except ImportError as error:
        raise Unclear("pynetdicom is not installed: pip install pydicom pynetdicom") from error
    entity = AE(ae_title="MODALITY")
    entity.add_requested_context(SecondaryCaptureImageStorage)
    association = entity.associate("127.0.0.1", port, ae_title="ARCHIVE")
    if not association.is_established:
        return [-1]
    try:
        return [int(association.send_c_store(one).get("Status", -1)) for one in instances]
    finally:
        association.release()
