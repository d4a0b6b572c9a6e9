"""The files that a run is started with (docs/wire.md, "Files of a run")."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from app.core.errors import Facts, NotFound, ProtocolTrouble, Rejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from app.core.fetcher import Answer, Fetcher

T = TypeVar("T")

TYPE = "user_attachment"
SOURCE = "posthog_code"
NO_PLACE = "no_place_for_files"


class RunFile(NamedTuple):
    """A file to upload. `size` is in bytes; `read` blocks on the disk and raises `StorageTrouble`.

    `digest` is that of the copy that Burrow keeps (`storage/attachments.py`), empty where it keeps none.
    """

    name: str
    type: str
    size: int
    read: Callable[[], bytes]
    digest: str = ""


class _Post(msgspec.Struct):
    url: str
    fields: dict[str, str] = {}


class _Prepared(msgspec.Struct):
    id: str
    storage_path: str
    presigned_post: _Post


class _Place(msgspec.Struct):
    artifacts: list[_Prepared]


class _Final(msgspec.Struct):
    id: str


class _Finals(msgspec.Struct):
    artifacts: list[_Final]


class RunUploads:
    """The files that are at one place of a server: those of a run, or those staged for a task.

    A file that has arrived is not sent again, whatever happens to the others. `path` is that of the artifacts, without
    a slash at its end.
    """

    def __init__(self, fetcher: Fetcher, path: str) -> None:
        self._fetcher, self._path = fetcher, path
        # By name and SHA-256 of the content.
        self._there: dict[tuple[str, str], str] = {}

    async def put(self, files: Sequence[RunFile]) -> list[str]:
        """Upload what is not there yet; returns the ids of `files`, in their order.

        Nothing is started. Raises `NotFound` on a server without such a place, `StorageTrouble`, and what the requests
        raise. May be repeated.
        """
        # Here, because the window is painted before anything is uploaded, and the import takes 50 ms.
        import asyncio
        import hashlib

        ids = []
        for file in files:
            content = await asyncio.to_thread(file.read)
            key = file.name, hashlib.sha256(content).hexdigest()
            if key not in self._there:
                self._there[key] = await self._put(file, content)
            ids.append(self._there[key])
        return ids

    def lose(self, ids: Sequence[str]) -> list[str]:
        """The server does not have these: they are uploaded again. Returns their names."""
        lost = [key for key, each in self._there.items() if each in ids]
        for key in lost:
            del self._there[key]
        return [name for name, _digest in lost]

    async def _put(self, file: RunFile, content: bytes) -> str:
        told = {"name": file.name, "type": TYPE, "source": SOURCE, "content_type": file.type}
        place = _only((await self._ask("prepare_upload", told | {"size": file.size})).decode(_Place).artifacts)
        await self._fetcher.upload(place.presigned_post.url, place.presigned_post.fields, file.name, file.type, content)
        final = told | {"id": place.id, "storage_path": place.storage_path}
        return _only((await self._ask("finalize_upload", final)).decode(_Finals).artifacts).id

    async def _ask(self, action: str, artifact: Mapping[str, object]) -> Answer:
        # Twice does no harm: what is prepared and not used is forgotten by the server.
        body = {"artifacts": [artifact]}
        return await self._fetcher.request("POST", f"{self._path}/{action}/", body=body, idempotent=True)


def _only(found: list[T]) -> T:
    if len(found) != 1:
        raise ProtocolTrouble("The server prepared another number of files than it was asked to.")
    return found[0]


async def with_files(
    places: Sequence[RunUploads], files: Sequence[RunFile], send: Callable[[list[str]], Awaitable[Answer]]
) -> Answer:
    """Upload `files` to the first place that the server has, then `send` their ids; once more if it has lost some.

    Raises `NotFound` with the code `NO_PLACE` if it has none of the places.
    """
    if not files:
        return await send([])
    for place in places:
        try:
            ids = await place.put(files)
        except NotFound:
            continue
        break
    else:
        raise NotFound("There is no place for files.", Facts(code=NO_PLACE))
    for repeated in (False, True):
        try:
            return await send(ids)
        except Rejected as refusal:
            lost = place.lose(refusal.facts.missing_files)
            if not lost:
                raise
            if repeated:
                facts = replace(refusal.facts, missing_files=tuple(lost))
                raise Rejected(
                    f"The server does not have {', '.join(lost)}.", facts, action="Run the task again to send it again."
                ) from None
        ids = await place.put(files)
    raise AssertionError("the second time returns or raises")
