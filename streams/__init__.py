"""What makes it move: engines, transport, workers and the command line."""
