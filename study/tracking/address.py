"""The user's tracking address, with its password kept off the command line."""

from __future__ import annotations

import os
import sys

from refinevad.errors import InputError
from study.tracking.connection import DEFAULT_URI, check_address, redact

VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_address(flag: str | None) -> str:
    """``--tracking-uri``, else ``$MLFLOW_TRACKING_URI``, else a database in this directory.

    Raises:
        InputError: The address cannot be parsed or is redacted, or its driver is missing.
    """
    given = os.environ.get(VARIABLE)
    if flag is None or (given and redact(given) == flag):
        uri = given or DEFAULT_URI
    elif "***" in flag or "…" in flag:
        raise InputError(
            f"--tracking-uri {flag}: this address is redacted (its secrets are missing); put the "
            f"full address into {VARIABLE}"
        )
    else:
        uri = flag
        _hide(uri)
    check_address(uri)
    return uri


def _hide(uri: str) -> None:
    """Restarts this command with the address in the environment, if it holds a password.

    Every user of the machine can read a command line, and Ray tells its whole cluster the
    driver's.
    """
    words = [word.replace(uri, redact(uri)) for word in sys.orig_argv[1:]]
    if words != sys.orig_argv[1:]:
        os.environ[VARIABLE] = uri
        os.execv(sys.executable, [sys.executable, *words])
