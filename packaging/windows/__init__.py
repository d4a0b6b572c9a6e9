"""The recipe for Windows: what the executables carry, the installer, and the signatures. Door: `build.build`."""
