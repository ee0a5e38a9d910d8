"""Live sound: the microphone in; smoothed emotions, OSC messages out."""
