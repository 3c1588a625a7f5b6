"""`review --web`: the queue as a page."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit, die, say
from daemon.cli.ledger import open_to_read
from daemon.log import configure
from daemon.review.deciding import text
from daemon.review.who import author as this_user
from daemon.settings import load_settings
from pipeline.engine.extras import how_to_install
from pipeline.errors import ConfigError
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge

LISTEN = "127.0.0.1:9476"


def serve_page(
    given: Mapping[str, Any], config: Path | None, *, listen: str | None, group: str | None, author: str | None
) -> Exit:
    """Serve the page until Ctrl-C or SIGTERM."""
    try:
        from daemon.review.web.desk import Desk
        from daemon.review.web.listening import listening
        from daemon.review.web.serve import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("h11", "jinja2", "markupsafe", "starlette", "uvicorn"):
            raise
        raise ConfigError(f"{error.name} is not installed: {how_to_install('review')}") from error
    settings = load_settings(os.environ, given, config)
    configure(settings.log.level, settings.log.format)
    if settings.kafka.consumes:
        die(Exit.USAGE, "--web: shows what one ledger keeps, and workers have one for each partition; use `review`")
    open_to_read(settings).close()  # before anything is made or listened to
    knowledge = load_knowledge(load_features, settings.knowledge_dirs)
    with listening(listen or LISTEN, group, os.environ) as socket:
        if socket.names_peers and author is not None:
            die(Exit.USAGE, "--author: has no effect on a UNIX socket, whose connections say which user they are from")
        if author is not None and not author.strip():
            die(Exit.USAGE, "--author: is empty")
        desk = Desk(settings.state_dir, knowledge)
        try:
            serve(socket, desk, this_user() if author is None else text(author, "author"), say)
        finally:
            desk.close()
    return Exit.DONE
