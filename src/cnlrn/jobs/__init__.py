"""Many pictures: which there are, what their results are called, and how they are restored one after the other."""
