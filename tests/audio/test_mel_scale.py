"""One mel scale for all of Thymos; librosa's is the reference."""

import librosa
import numpy as np
import pytest

from thymos.audio.mel_scale import hz_to_mel, mel_to_hz


def test_it_is_librosas_and_there_and_back_is_the_same() -> None:
    hz = np.linspace(0, 22_050, 500)
    np.testing.assert_allclose(hz_to_mel(hz), librosa.hz_to_mel(hz), rtol=1e-12)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz)), hz, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(("hz", "mel"), [(0.0, 0.0), (200.0, 3.0), (1_000.0, 15.0), (6_400.0, 42.0)])
def test_points_that_slaney_names(hz: float, mel: float) -> None:
    """Linear up to 1 kHz at 15 mel, then 27 equal steps up to 6.4 kHz."""
    assert float(hz_to_mel(np.array(hz))) == pytest.approx(mel, abs=1e-12)
    assert float(mel_to_hz(np.array(mel))) == pytest.approx(hz, abs=1e-9)
