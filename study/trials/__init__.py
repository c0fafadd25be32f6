"""One trial on a worker: what it is given, what it runs, what it gives back."""
