"""Picture in, picture out: the size, the estimate of blur, the plan, the tiles and the result."""
