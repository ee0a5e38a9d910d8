"""The shipped recogniser: Whisper's first layers, fine-tuned, describe recordings; a linear head decides."""
