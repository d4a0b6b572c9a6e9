"""The recipe for macOS: the application bundle, the disk image, and the signatures. Door: `build.build`."""
