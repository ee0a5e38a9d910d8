"""Picture -> logits: one module per family, a registry by name."""
