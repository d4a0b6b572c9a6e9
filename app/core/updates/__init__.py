"""Updates of a Burrow that no package manager replaces: found, downloaded, verified, installed, put back.

`service.py` (`Updates`) is the way in. The order of trust:

- `source.py`: address and root of trust, both from the build. A build without them has updates off.
- `metadata.py`: The Update Framework (https://theupdateframework.github.io/specification/latest/) verifies who signed
  what, and that it is neither old nor mixed. The only file that imports python-tuf.
- `release.py`, `version.py`: which signed file is an update for this installation. Nothing equal or lower ever is.
- `net.py`, `download.py`: bounded requests; the file in pieces, resumed, verified against the signed hash.
- `install.py`: verified once more, then put in the place of the former one, which is kept.
- `trial.py`: the first start of the new one. If it fails, the former one is put back.
- `record.py`: what of this is remembered between processes.
- `process_ends.py`, `handover.py`: what the window's process does before its start and after its end.
"""
