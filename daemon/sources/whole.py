"""A document that is there as a whole and will not change: what can be used of it, and what cannot."""

from pipeline.errors import ReportError
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.report.document import Document
from pipeline.report.limits import Limits, too_large
from pipeline.report.read import read_document


def read_whole(raw: bytes, limits: Limits) -> Document:
    """Read all reports of a document; one of which nothing can be used is a reject, with its beginning.

    Args:
        raw: at most one byte more than `limits.max_bytes`: no more is needed to refuse it.
    """
    try:
        if len(raw) > limits.max_bytes:
            raise too_large(limits)
        return read_document(raw, limits, final=True)
    except ReportError as error:
        return Document((), (Reject(error.reason, error.detail, error.offset, excerpt=raw[:EXCERPT_BYTES]),))
