"""What a rule's finding says: both audits make their findings here, so that they name the same subject alike."""

from __future__ import annotations

from metastore.api import Finding

#: How the subject of a rule is told, by the part of the rule's name before the dot.
_SUBJECTS = {
    "volume": "volume",
    "range": "blob range {number}",
    "inode": "ino {number}",
    "tree": "ino {number}",
    "extent": "ino {number}",
    "content": "content {number}",
    "meta": "metadata of ino {number}",
    "edge": "name {name!r} in {number}",
    "version": "version of {name!r} in {number}",
    "upload": "upload {name!r}",
    "part": "part {number} of upload {name!r}",
    "reclaim": "content {number}",
    "blob": "blob {number}",
}


def finding(vol: int, rule: str, number: int, name: bytes, right: int | None, detail: str) -> Finding:
    """Return the finding of *rule* about what *number* and *name* say; *right* as in `Finding`."""
    subject = _SUBJECTS[rule.partition(".")[0]].format(number=number, name=name)
    return Finding(vol, rule, subject, detail, number, name, right)
