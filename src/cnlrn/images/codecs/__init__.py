"""What libvips leaves out of single file formats: one module each."""
