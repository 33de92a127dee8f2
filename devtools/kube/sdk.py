"""Connects to a cluster by the official SDK: for credential plugins and for port-forwards."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

from devtools.errors import DevtoolsError, EnvironmentFault

# The SDK identifies a user by its whole kubeconfig entry, including secrets.
_ENTRY = re.compile(r"\{.*\}", re.DOTALL)


def sdk_client(kubeconfig: Path, context: str) -> Any:
    """Return a client of the official SDK for a context; raise EnvironmentFault if the SDK cannot use it."""
    from kubernetes import config

    with refused(context):
        return config.new_client_from_config(str(kubeconfig), context)  # type: ignore[no-untyped-call]


@contextmanager
def refused(context: str) -> Iterator[None]:
    """Turn the SDK's errors about credentials into EnvironmentFault, also those of plugins that it only logs."""
    capture = _LogCapture(logging.ERROR)
    logging.getLogger().addHandler(capture)
    try:
        yield
    except DevtoolsError:
        raise
    except Exception as error:  # it reads the kubeconfig itself; its YAML parser and plugins may raise anything
        raise _fault(context, str(error)) from error
    finally:
        logging.getLogger().removeHandler(capture)
    if capture.messages:
        raise _fault(context, capture.messages[0])


class _LogCapture(logging.Handler):
    """Collects the log messages of the thread that made it."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []
        self._thread = get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


def _fault(context: str, text: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot use context {context}: {_ENTRY.sub('{…}', ' '.join(text.split()))}",
        hint=f"does it work with kubectl? Try: kubectl --context {context} get nodes",
    )
