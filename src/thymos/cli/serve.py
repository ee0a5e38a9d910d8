"""``thymos serve``: an address to send recordings and live sound to, and a page."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thymos.errors import MissingExtraError, ThymosError
from thymos.serving.bounds import ServingBounds

_TOKEN = "THYMOS_TOKEN"
_DEFAULT = ServingBounds()


class TokenError(ThymosError):
    """The token cannot be read."""


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine's need --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8450,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder or name of a model to offer, the first by default. May be repeated (default: THYMOS_MODEL and "
            "those that come along)."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Recordings heard at once, each in a process of its own (default: one a core)."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=_TOKEN,
            help="That requests must bear; better by the variable, or --token-file: others see a command's words.",
        ),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="File that holds the token.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond this machine without a token.")] = False,
    host_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that this server goes by, as behind a proxy. May be repeated."),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Another site whose pages may use this server, such as https://example.org. May be repeated.",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    log: Annotated[
        Literal["text", "json", "off"], typer.Option(help="How each request is told on standard error.")
    ] = "text",
    max_body: Annotated[float, typer.Option(min=0.001, help="Megabytes of a request's body.")] = _DEFAULT.body_bytes
    / 1e6,
    max_minutes: Annotated[float, typer.Option(min=0.01, max=6000, help="Length of a recording.")] = _DEFAULT.longest_s
    / 60,
    max_files: Annotated[int, typer.Option(min=1, max=10_000, help="Recordings in one request.")] = _DEFAULT.files,
    header_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a request's headers.")
    ] = _DEFAULT.header_s,
    body_timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for its body, beside what it takes at 128 kbit/s.")
    ] = _DEFAULT.body_s,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to hear one recording, after which its worker is killed.")
    ] = _DEFAULT.job_s,
    queue: Annotated[
        int, typer.Option(min=1, help="Recordings that may wait; beyond, the answer is 503.")
    ] = _DEFAULT.queue,
    worker_memory: Annotated[
        int, typer.Option(min=64, help="MiB that a worker may take beside what all share.")
    ] = _DEFAULT.memory_bytes >> 20,
    rate: Annotated[
        float, typer.Option(min=0, help="Requests a second from one client of another machine (0: any number).")
    ] = _DEFAULT.rate,
    connections: Annotated[
        int, typer.Option(min=1, help="Open at once; beyond, the one that was idle longest is closed.")
    ] = _DEFAULT.connections,
    streams: Annotated[int, typer.Option(min=0, help="Live streams at once.")] = _DEFAULT.streams,
    stream_message: Annotated[int, typer.Option(min=1, help="KiB of a live stream's message.")] = _DEFAULT.message_bytes
    >> 10,
    stream_speed: Annotated[
        float, typer.Option(min=1, help="How much faster than in real time a live stream is taken.")
    ] = _DEFAULT.speed,
    stream_idle: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a message after which a live stream is closed.")
    ] = _DEFAULT.idle_s,
    stream_unread: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds that a live stream's answers may lie unread, after which it is closed."),
    ] = _DEFAULT.unread_s,
    drain: Annotated[
        float, typer.Option(min=0, max=600, help="Seconds for requests under way to end after SIGTERM.")
    ] = _DEFAULT.drain_s,
) -> None:
    """Serve predictions over HTTP, live streams over WebSocket, and a page, until it is told to end.

    Says its address once it answers. SIGTERM lets requests under way end, and the exit code is then 0.
    """
    try:
        from thymos.serving.server import ServerSettings, run_server
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("thymos"):
            raise
        raise MissingExtraError(f"serving needs the library {error.name}: pip install 'thymos[serve]'") from None

    bounds = ServingBounds(
        body_bytes=round(max_body * 1e6),
        files=max_files,
        longest_s=max_minutes * 60,
        header_s=header_timeout,
        body_s=body_timeout,
        job_s=timeout,
        queue=queue,
        memory_bytes=worker_memory << 20,
        rate=rate,
        connections=connections,
        streams=streams,
        message_bytes=stream_message << 10,
        speed=stream_speed,
        idle_s=stream_idle,
        unread_s=stream_unread,
        drain_s=drain,
    )
    settings = ServerSettings(
        host=host,
        port=port,
        models=model or (),
        workers=workers,
        token=_token(token, token_file),
        insecure=insecure,
        host_names=host_name or (),
        origins=cors or (),
        bounds=bounds,
        log=log,
    )

    def ready(address: str) -> None:
        print(address, flush=True)
        if open_page:
            import webbrowser

            webbrowser.open(address)

    run_server(settings, ready)


def _token(given: str | None, file: Path | None) -> str | None:
    """Return the token, from the file if one is named.

    Raises:
        TokenError: the file cannot be read, or the token is too short to keep anybody out.
    """
    if file is not None:
        try:
            given = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TokenError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    if given is not None and len(given) < 8:
        raise TokenError("a token of fewer than 8 letters is guessed: take 16 or more")
    return given
