"""What a program that imports onnxruntime before Thymos should know: that library has begun to send usage data."""

import warnings
from contextlib import suppress
from typing import Any

from thymos.errors import ThymosWarning

SINCE = (1, 29)
"""The first version whose wheels for Linux and macOS do."""


class TelemetryWarning(ThymosWarning):
    """A library of this program sends usage data, which Thymos is too late to stop."""


def tell_of_telemetry(onnxruntime: Any) -> None:
    """Turn off what can be turned off of ``onnxruntime``, which is imported already, and say how to stop the rest.

    It writes an identifier of the device and looks its maker's host up as it is imported, and reads what the
    environment says of that only then.
    """
    with suppress(Exception):
        onnxruntime.disable_telemetry_events()
    parts = str(getattr(onnxruntime, "__version__", "")).split(".")[:2]
    if len(parts) == 2 and all(map(str.isdecimal, parts)) and tuple(map(int, parts)) < SINCE:
        return
    warnings.warn(
        "onnxruntime was imported before thymos, and sends usage data to its maker: import thymos first, or set "
        "ORT_DISABLE_TELEMETRY=1",
        TelemetryWarning,
        stacklevel=3,
    )
