"""The files that a run is started with (docs/wire.md, "Files of a run")."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.core.errors import NotFound, ProtocolTrouble, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.fetcher import Fetcher

TYPE = "user_attachment"
SOURCE = "posthog_code"


class RunFile(NamedTuple):
    """A file to upload. `size` is in bytes; `read` blocks on the disk and raises `StorageTrouble`."""

    name: str
    type: str
    size: int
    read: Callable[[], bytes]


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


async def stage(fetcher: Fetcher, path: str, files: Sequence[RunFile]) -> list[str]:
    """Upload files for a run that is not started yet; returns the ids to start it with.

    `path` is that of the task's staged artifacts. Nothing is started, so this can be repeated. Raises `Rejected` on a
    server that takes no files, and what the requests raise.
    """
    # Here, because the window is painted before anything is uploaded, and the import takes 50 ms.
    import asyncio

    announced = [
        {"name": each.name, "type": TYPE, "source": SOURCE, "size": each.size, "content_type": each.type}
        for each in files
    ]
    try:
        answer = await fetcher.post(f"{path}/prepare_upload/", {"artifacts": announced})
    except NotFound:
        raise Rejected(
            "This server takes no files with a run.", action="Remove the files, then run the task."
        ) from None
    prepared = answer.decode(_Place).artifacts
    if len(prepared) != len(files):
        raise ProtocolTrouble("The server prepared another number of files than it was asked to.")
    for file, place in zip(files, prepared, strict=True):
        content = await asyncio.to_thread(file.read)
        await fetcher.upload(place.presigned_post.url, place.presigned_post.fields, file.name, file.type, content)
    final = [
        {"id": place.id, "name": file.name, "type": TYPE, "source": SOURCE, "content_type": file.type}
        | {"storage_path": place.storage_path}
        for file, place in zip(files, prepared, strict=True)
    ]
    finished = await fetcher.post(f"{path}/finalize_upload/", {"artifacts": final})
    return [each.id for each in finished.decode(_Finals).artifacts]
