"""How this program comes into a Ray cluster, and leaves it: Ray's own settings and errors, in a sentence each.

Nothing is sent to Ray's makers: usage statistics are off in a cluster that is started here, and so is the dashboard.
Nor is anything left behind: such a cluster keeps its files in a temporary folder, and its token in the environment.
"""

import importlib
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from thymos.errors import EngineError, MissingExtraError
from thymos.machine import available_cores

_CONNECT_S = 5.0
_FRAME_HEADER_BYTES, _SETTINGS = 9, 4  # the kind of a frame is its header's fourth byte
_HTTP_2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning of a change to come
}
_AS_URGENT = {"RAY_worker_niceness": "0"}
"""Ray's workers would be 15 nicer than the program that waits for them, and stand still beside any other."""


@dataclass(frozen=True)
class Joined:
    """This program's part in a cluster."""

    ray: Any
    """The library."""
    leave: Callable[[], None]
    """Undoes what ``join`` did; a cluster that others started, or a connection, stays."""

    def head_answers(self) -> bool:
        """Return whether the head of the cluster is there."""
        host, _, port = self.ray.get_runtime_context().gcs_address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
                return True
        except OSError:
            return False


def join(address: str | None, cores: int | None) -> Joined:
    """Join the cluster at ``address``, or start one.

    Args:
        address: ``HOST:PORT``, ``auto``, or None: what RAY_ADDRESS says, else a new one.
        cores: of a new one; None: those of this machine.

    Raises:
        MissingExtraError: Ray is not installed.
        EngineError: there is no such cluster, or this program cannot join it.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address == "local":  # Ray's own word for one that is started
        address = None
    setting = dict(_QUIET)
    if address is None:
        # Without a token, Ray writes one into the home folder.
        setting |= _AS_URGENT | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.get(name) for name in setting}
    for name, value in setting.items():
        os.environ.setdefault(name, value)
    try:
        ray: Any = importlib.import_module("ray")
    except ModuleNotFoundError:
        raise MissingExtraError("the engine ray needs the library ray: pip install 'thymos[scale]'") from None
    if ray.is_initialized():
        return Joined(ray, lambda: None)
    _read_anew(ray)
    folder = None
    if address is None:
        folder = tempfile.mkdtemp(prefix="thymos-ray-")  # a short path: sockets lie in it
        how = {"num_cpus": cores or available_cores(), "include_dashboard": False, "_temp_dir": folder}
    else:
        _check_address(address)
        how = {"address": address}
    terminated = signal.getsignal(signal.SIGTERM)

    def leave() -> None:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread() and terminated is not None:
            signal.signal(signal.SIGTERM, terminated)  # Ray has set its own
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _read_anew(ray)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    with _standard_error_kept() as said:
        try:
            ray.init(log_to_driver=False, configure_logging=False, **how)
        except Exception as error:  # of many kinds, from as many places
            with suppress(Exception):
                leave()
            said.seek(0)
            raise EngineError(_sentence(address, error, said.read().decode(errors="replace"))) from None
    return Joined(ray, leave)


@contextmanager
def _standard_error_kept() -> Iterator[IO[bytes]]:
    """Yield a file that gets what is written to standard error in the block: Ray's C++ part says there what went wrong,
    again and again, and its Python part does not."""
    with tempfile.TemporaryFile() as said:
        sys.stderr.flush()
        before = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)


def _read_anew(ray: Any) -> None:
    """Have Ray's C++ part read what the environment says of tokens: it does so when it is first imported, and a program
    may have imported it before, or have been in another cluster."""
    with suppress(AttributeError):
        ray._raylet.Config.initialize("")
        ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


def _check_address(address: str) -> None:
    """Check that something listens at ``address``: Ray itself would try for a minute.

    Raises:
        EngineError: nothing does, or it is no address.
    """
    if address == "auto":
        return
    if address.startswith("//") or "://" in address:
        raise EngineError(
            f"ray:{address} is an address of Ray's client: start this command on a node of the cluster, and give "
            "HOST:PORT of its head"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise EngineError(f"{address} is no address of a Ray cluster: it is HOST:PORT of its head, such as node1:6379")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S) as connection:
            reason = None if os.environ.get("RAY_USE_TLS") or _answers(connection) else "something else answers there"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise EngineError(f"there is no Ray cluster at {address}: {reason}; `ray start --head` starts one")


def _answers(connection: socket.socket) -> bool:
    """Return whether what listens there speaks as the head of a cluster does: HTTP/2 (RFC 9113, section 3.4)."""
    connection.sendall(_HTTP_2_PREFACE)
    answer = b""
    with suppress(TimeoutError):
        while len(answer) < _FRAME_HEADER_BYTES and (more := connection.recv(_FRAME_HEADER_BYTES)):
            answer += more
    return len(answer) >= _FRAME_HEADER_BYTES and answer[3] == _SETTINGS


def _sentence(address: str | None, error: Exception, said: str = "") -> str:
    """Say in a sentence why this program is in no cluster, by Ray's error and what it ``said`` to standard error."""
    words = " ".join(str(error).split())
    if address is None:
        return f"no Ray cluster could be started here: {_first(words)}"
    if "ersion mismatch" in words:
        found = re.findall(r"Ray: ?([\w.]+).*?Python: ?([\w.]+)", words)
        if len(found) == 2:
            (theirs, their_python), (own, own_python) = found
            return (
                f"the Ray cluster at {address} runs Ray {theirs} with Python {their_python}, and this program Ray "
                f"{own} with Python {own_python}: use the same in both"
            )
    if "InvalidAuthToken" in said or ("oken" in words and "auth" in words.lower()):
        return (
            f"the Ray cluster at {address} asks for its token: set RAY_AUTH_MODE=token, and copy ~/.ray/auth_token "
            "from its head or set RAY_AUTH_TOKEN"
        )
    if address == "auto" and isinstance(error, ConnectionError):
        return "there is no Ray cluster on this machine; `ray start --head` starts one"
    return f"the Ray cluster at {address} cannot be joined: {_first(words)}"


def _first(words: str) -> str:
    return re.split(r"(?<=[a-z])\. ", words, maxsplit=1)[0].rstrip(".")
