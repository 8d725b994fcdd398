"""``hinomi doctor``: is all there that a configuration needs? Findings in plain words, each with what to do."""
