"""The shipped recogniser's encoder: Whisper's first layers, fine-tuned gently on emotion, and what is read from them."""
