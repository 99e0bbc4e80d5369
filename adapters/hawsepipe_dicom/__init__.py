"""Imaging studies of a DICOM archive: the feed kind `dicom-changes` and the translator kind `dicom`."""
