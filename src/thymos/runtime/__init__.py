"""The shipped runtime: bundle, gate, recogniser, timeline and stream, on the libraries of the light install alone."""
