"""Sample documents for the demo, written by code: PDFs, scans, photos, DICOM and notes in three languages.

Run `python -m examples.sample_documents OUTDIR` from the root of a checkout.
"""

from .build import build, queries_folder
from .catalog import DOCUMENTS, SampleDocument
from .queries import QUERIES, DemoQuery

__all__ = ["DOCUMENTS", "QUERIES", "DemoQuery", "SampleDocument", "build", "queries_folder"]
