"""The shipped runtime: bundle, VAD, recogniser, timeline and stream, on the libraries of the light install alone."""
