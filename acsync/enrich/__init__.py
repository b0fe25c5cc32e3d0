"""All pandas: records and metadata become enriched records, comparable with the last ones."""

from acsync.enrich.encoding import EnrichedRecord, encode
from acsync.enrich.joining import Enricher, is_masked, keep_last_body

__all__ = ["EnrichedRecord", "Enricher", "encode", "is_masked", "keep_last_body"]
