"""The shipped recogniser, end to end: Whisper's first layers, fine-tuned, describe recordings; a linear head decides."""
