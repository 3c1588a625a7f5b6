"""Libraries that print, kept out of our output."""

import contextlib
import io
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Take what a library prints and logs meanwhile; an error brings the end of it along as a note."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    except Exception as error:
        if said.getvalue():
            error.add_note(said.getvalue()[-2000:])
        raise
    finally:
        logging.disable(before)
