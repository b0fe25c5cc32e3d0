"""All pandas: records and metadata become enriched records, comparable with the last ones."""

from acsync.enrich.encoding import encode
from acsync.enrich.records import enrich, keep_last_body

__all__ = ["encode", "enrich", "keep_last_body"]
