"""A page of a PDF as a small picture."""

from __future__ import annotations

from pathlib import Path

__all__ = ["page_picture"]

_COLOURS = 48
"""Papers have few colours; a palette keeps text sharp at a third of the size."""


def page_picture(pdf: Path, page: int, out: Path, *, width: int = 920) -> None:
    """Write one page (from 1) as a PNG of that many pixels across, on a thin grey edge that shows on white and on black."""
    import pypdfium2
    from PIL import ImageOps

    document = pypdfium2.PdfDocument(pdf)
    try:
        sheet = document[page - 1]
        image = sheet.render(scale=width / sheet.get_width()).to_pil().convert("RGB")
    finally:
        document.close()
    ImageOps.expand(image, border=2, fill="#9AA5B1").quantize(_COLOURS).save(out, optimize=True)
