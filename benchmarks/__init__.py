"""Figures of headrace beside those of its peers: same machine, same broker, same work, same data."""
