"""The shipped recogniser, end to end: recipe, pretraining, description of recordings, decision, export."""
