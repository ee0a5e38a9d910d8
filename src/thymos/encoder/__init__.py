"""The shipped recogniser's encoder: Whisper's first layers, fine-tuned on emotion, and what is read from them."""
