"""Formats that libvips and other libraries need help with: one module a format, each a `codec.Codec`."""
