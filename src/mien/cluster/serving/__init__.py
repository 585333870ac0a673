"""`mien serve`: a model on Ray Serve, and before it one process that speaks HTTP and keeps the limits."""
