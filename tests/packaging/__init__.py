import sys
from pathlib import Path

# The recipes below packaging/ import each other as the programs that they are.
_PACKAGING = str(Path(__file__).resolve().parents[2] / "packaging")
if _PACKAGING not in sys.path:
    sys.path.append(_PACKAGING)
