"""What S3 clients do."""

from __future__ import annotations

from hall import ROOT, run
from hypothesis.stateful import rule
from rules import DATA, KEYS, PICK, Rules

from namespace.api import ListRequest, PutRequest


class S3Rules(Rules):
    """The verbs of S3 by key."""

    @rule(key=KEYS, body=DATA)
    def put(self, key: bytes, body: bytes) -> None:
        meta = len(body) % 2 == 1  # as `hall.put` has it
        self.both(lambda: self.model.put(key, body, meta=meta), lambda: self.hall.put(key, body))

    @rule(key=KEYS)
    def put_marker(self, key: bytes) -> None:
        self.both(lambda: self.model.put(key + b"/", b""), lambda: self.hall.put(key + b"/", b""))

    @rule(key=KEYS)
    def put_marker_with_metadata(self, key: bytes) -> None:
        async def put() -> None:
            request = PutRequest(key + b"/", {}, {"n": "1"})
            await (await self.hall.ns.begin_put(ROOT, "bucket", request)).finish(b"etag", {})

        self.both(lambda: self.model.put(key + b"/", b"", meta=True), lambda: run(put()))

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.both(lambda: self.model.delete(key), lambda: run(self.hall.ns.delete_object(ROOT, "bucket", key)))

    @rule(which=PICK)
    def delete_listed(self, which: int) -> None:
        keys = [key for key in sorted(self.model.keys()) if len(key) <= 1024]
        if keys:
            self.delete(self.pick(keys, which))

    @rule(which=PICK)
    def list_level(self, which: int) -> None:
        """A listing by folders shows each key and each common prefix once, over pages of two."""
        keys = self.model.keys()
        prefix = self.pick(sorted({b"", *(key[: key.rfind(b"/") + 1] for key in keys)}), which)
        shown: tuple[list[bytes], list[bytes]] = ([], [])
        request: ListRequest | None = ListRequest(prefix, b"/", limit=2)
        while request is not None:
            page = run(self.hall.ns.list_objects(ROOT, "bucket", request))
            shown[0].extend(info.key for info in page.contents)
            shown[1].extend(page.common_prefixes)
            assert all(info.size == len(keys[info.key]) for info in page.contents)
            request = None if page.next_after is None else ListRequest(prefix, b"/", page.next_after, 2)
        if len(prefix) <= 1024:
            assert shown == self.model.level(prefix), (prefix, shown, self.model.level(prefix))
