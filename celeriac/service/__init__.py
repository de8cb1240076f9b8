"""The use cases: what can be asked of Celeriac, whoever asks."""
