"""Commands of the cloud."""
