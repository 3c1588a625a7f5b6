"""Whether a new file is a copy of one beside it that is still being written."""

import os
from collections.abc import Generator, Iterable

from daemon.sources.directory.content import Content, begins, end_of_lines
from daemon.sources.directory.names import unrotated
from daemon.sources.directory.proof import holds
from daemon.sources.directory.tracked import Tracked


def is_copy(file: Tracked, streams: Iterable[Tracked], quiet_since: float) -> Generator[None, None, bool]:
    """Say whether a new stream is a beginning of one in its directory that has changed after `quiet_since`.

    If that one is truncated next (copytruncate), the copy is where reading has to go on; if the copy has nothing but
    lines that were read already (`file.copied` says up to where), it is never read.
    """
    if file.state is not None or file.descriptor is None or file.compressed:
        return False
    content = Content(file.descriptor)
    directory = os.path.dirname(file.path)  # noqa: PTH120
    for other in streams:
        if (
            other.descriptor is None
            or other.state is None
            or other.changed_at <= quiet_since
            or os.path.dirname(other.path) != directory  # noqa: PTH120
            or other.path != unrotated(other.path) == file.path  # rotated out of its way, so it cannot be its copy
        ):
            continue
        original = Content(other.descriptor)
        if content.size() == 0 or content.size() > original.size():
            continue
        if file.copied is None or file.copied[0] != file.current:
            if not (yield from begins(content, original)) or not (yield from holds(other.state.proof, original)):
                continue
            end = end_of_lines(content)
            file.copied = (file.current, end) if end <= other.state.offset else None
        return True
    return False
